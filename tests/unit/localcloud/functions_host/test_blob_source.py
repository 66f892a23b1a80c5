import pytest

from localcloud.functions_host.blob_source import connect_blobs
from localcloud.functions_host.errors import AppLoadError

URL = "https://box.blob.core.windows.net"


def url_of(connection, **environ):
    """The account that a connection leads to, as the SDK's client sees it."""
    return connect_blobs(connection, environ)._service.url.rstrip("/")


class TestConnectBlobs:
    @pytest.mark.parametrize(
        ("connection", "environ"),
        [
            ("Box", {"Box__blobServiceUri": URL}),
            ("Box", {"Box__serviceUri": URL}),
            ("Box", {"Box__accountName": "box"}),
            ("Box", {"Box__blobServiceUri": URL, "Box__credential": "managedidentity"}),
            ("Box", {"AzureWebJobsBox__accountName": "box", "Box__accountName": "other"}),
            ("Storage", {"AzureWebJobsStorage__accountName": "box"}),
            ("AzureWebJobsStorage", {"AzureWebJobsStorage__accountName": "box"}),
            ("", {"AzureWebJobsStorage__accountName": "box"}),
            ("Box", {"Box": f"AccountName=box;AccountKey=a2V5;BlobEndpoint={URL}"}),
        ],
    )
    def test_finds_the_account_as_azure_does(self, connection, environ):
        assert url_of(connection, **environ) == URL

    def test_prefers_the_connection_string(self):
        text = "AccountName=box;AccountKey=a2V5;BlobEndpoint=https://other.invalid"

        assert url_of("Box", Box=text, Box__blobServiceUri=URL) == "https://other.invalid"

    def test_knows_the_emulator_by_its_short_name(self):
        url = url_of("Box", Box="UseDevelopmentStorage=true")

        assert url == "http://127.0.0.1:10000/devstoreaccount1"

    def test_names_the_setting_that_is_missing(self):
        with pytest.raises(AppLoadError, match="Box__blobServiceUri"):
            url_of("Box", Other="x")

    def test_never_repeats_what_may_hold_a_key(self):
        with pytest.raises(AppLoadError) as caught:
            url_of("Box", Box="AccountKey=c2VjcmV0")

        assert "c2VjcmV0" not in str(caught.value)
