"""Bodies of a POST: what is unambiguous is taken, and what is wrong is named."""

import base64
import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.errors import ApiError, BodyTooLargeError, InvalidRequestError
from orchestrator.domain.input_errors import ImageTooLargeError
from orchestrator.intake.body import (
    MAX_FIELD_BYTES,
    MAX_PARTS,
    parse_batch,
    parse_job,
)
from tests.unit.orchestrator.http.desk import form

URL = "https://images.invalid/cup.jpg"
IMAGE = bytes(range(256)) + b"\xff\xfb\xef"
BASE64 = base64.b64encode(IMAGE).decode()
FORM = "multipart/form-data; boundary=frontier"
DISPOSITION = b'Content-Disposition: form-data; name="image"; filename="a.png"'


def job(fields: dict[str, Any]) -> Any:
    (source,), rest = parse_job("application/json", json.dumps(fields).encode())
    return source, rest


def refusal(content_type: str, body: bytes, parse: Any = parse_job) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(content_type, body)
    return caught.value


def parse_form(*files: bytes, **fields: str) -> Any:
    asked = form(*files, **fields)
    (source,), fields = parse_job(asked["headers"]["Content-Type"], asked["body"])
    return source, fields


class TestBase64:
    @pytest.mark.parametrize(
        "text",
        [
            BASE64,
            BASE64.rstrip("="),
            base64.urlsafe_b64encode(IMAGE).decode(),
            base64.urlsafe_b64encode(IMAGE).decode().rstrip("="),
            base64.encodebytes(IMAGE).decode(),
            base64.encodebytes(IMAGE).decode().replace("\n", "\r\n"),
            f" \t{BASE64}\n",
            f"data:image/png;base64,{BASE64}",
            f"data:image/png;name=a.png;base64,{BASE64}",
            f"DATA:;BASE64,{BASE64}\n",
        ],
    )
    @pytest.mark.parametrize("extra", [0, 1, 2])
    def test_takes_line_ends_url_safe_letters_and_no_padding(self, text: str, extra: int):
        source, _ = job({"image_base64": text})
        assert source.data == IMAGE

        short = base64.b64encode(IMAGE[extra:]).decode()
        assert job({"image_base64": short})[0].data == IMAGE[extra:]
        assert job({"image_base64": short.rstrip("=")})[0].data == IMAGE[extra:]

    def test_takes_a_data_url_in_image_url(self):
        source, fields = job({"image_url": f"data:image/png;base64,{BASE64}"})

        assert (source.data, source.url, fields) == (IMAGE, None, {})

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("AAAA%AAA", "character 5 is '%'"),
            ("AAAA\nA\u00e9AA", r"character 7 is '\\xe9'"),
            ("AA=AAAAA", "character 3 is '='"),
            ("AAAA\u2028AAAA", "character 5 is"),
            ("AAAAA", "it has 5 letters"),
            ("AAA==", "it ends with 2 '=' instead of 1"),
            ("AAAA====", "it ends with 4 '=' instead of 0"),
            ("====", "it ends with 4 '=' instead of 0"),
            ("data:image/png;base64,AA*A", "character 25 is '\\*'"),
            ("data:image/png,AAAA", "';base64,'"),
            ("data:image/png;base64", "';base64,'"),
            ("data:text/plain;charset=base64,AAAA", "';base64,'"),
        ],
    )
    @pytest.mark.parametrize("name", ["image_base64", "image_url"])
    def test_names_what_is_wrong_and_where(self, name: str, text: str, words: str):
        if name == "image_url" and not text.startswith("data:"):
            return
        with pytest.raises(InvalidRequestError, match=words) as caught:
            job({name: text})

        assert caught.value.code == "image_base64_invalid"
        assert str(caught.value).startswith(name)

    def test_names_the_image_of_a_batch(self):
        body = json.dumps({"images": [{"image_url": URL}, {"image_base64": "!"}]}).encode()

        error = refusal("application/json", body, parse_batch)

        assert "images[1].image_base64" in str(error)

    def test_takes_linear_time_for_a_field_of_equals_signs(self):
        with pytest.raises(InvalidRequestError):
            job({"image_base64": "=\n" * 2_000_000 + "!"})

    @given(st.binary(max_size=100), st.integers(1, 80), st.booleans(), st.booleans())
    def test_any_bytes_come_back(self, data: bytes, width: int, pads: bool, is_url_safe: bool):
        encode = base64.urlsafe_b64encode if is_url_safe else base64.b64encode
        text = encode(data).decode() if pads else encode(data).decode().rstrip("=")
        lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))

        assert job({"image_base64": lines})[0].data == data


class TestParseJob:
    def test_gives_the_other_fields_as_they_are(self):
        fields = {"options": {"seed": 1}, "metadata": {}, "colour": "red"}

        assert job({"image_url": URL, **fields})[1] == fields

    def test_a_forms_json_fields_hold_their_json(self):
        source, fields = parse_form(b"x", options='{"seed": 7}', priority="high")

        assert (source.data, source.name) == (b"x", "1.png")
        assert fields == {"options": {"seed": 7}, "priority": "high"}

    def test_counts_depth_alike_in_forms_and_json(self):
        for depth, is_right in ((31, True), (32, False)):
            text = '{"a":' * depth + "1" + "}" * depth
            body = f'{{"image_url": "{URL}", "metadata": {text}}}'.encode()
            if is_right:
                assert parse_job("", body)[1] == parse_form(b"x", metadata=text)[1]
                continue
            for parse in (
                lambda b=body: parse_job("", b),
                lambda t=text: parse_form(b"", metadata=t),
            ):
                with pytest.raises(InvalidRequestError, match="levels deep"):
                    parse()

    @pytest.mark.parametrize("size_bytes", [39_900_000])
    def test_takes_the_largest_image_with_line_ends(self, size_bytes: int):
        text = base64.encodebytes(bytes(size_bytes)).decode().replace("\n", "\r\n")

        source, _ = job({"image_base64": text})

        assert len(source.data) == size_bytes

    def test_refuses_more(self):
        with pytest.raises(ImageTooLargeError):
            job({"image_base64": "A" * 60_000_001})

    def test_needs_nothing_of_azure(self):
        program = (
            "import sys, orchestrator.intake.body\n"
            "print([name for name in sys.modules if name.partition('.')[0] == 'azure'])"
        )

        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert ended.stdout.strip() == "[]"


class TestForms:
    """Forms that are broken or made to hurt end as 400 or 413."""

    @pytest.mark.parametrize(
        ("content_type", "body", "words"),
        [
            ("multipart/form-data", b"--x\r\n", "no boundary"),
            ("multipart/form-data; boundary=", b"--x\r\n", "no boundary"),
            (f"multipart/form-data; boundary={'b' * 201}", b"--x\r\n", "too long"),
            ("multipart/form-data; boundary=\u00e9", b"--x\r\n", "can't be read"),
            (FORM, b"nothing", "can't be read"),
            (FORM, b"--frontier\r\n" + DISPOSITION + b"\r\n\r\ncut off", "can't be read"),
            (FORM, b"--frontier\r\nX: y\r\n\r\n1\r\n--frontier--", "Content-Disposition"),
            (FORM, b"--frontier\r\n\xff\xfe: y\r\n\r\n1\r\n--frontier--", "can't be read"),
            (
                FORM,
                b"--frontier\r\nContent-Disposition: form-data\r\n\r\n1\r\n--frontier--",
                "no name",
            ),
        ],
    )
    def test_says_why_a_form_cannot_be_read(self, content_type: str, body: bytes, words: str):
        error = refusal(content_type, body)

        assert (error.status, error.code) == (400, "body_unreadable")
        assert words in str(error)

    def test_refuses_a_field_that_is_not_utf_8(self):
        body = (
            b'--frontier\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'
            b'{"a": "\xe9"}\r\n--frontier--\r\n'
        )

        assert "'metadata' is not UTF-8: byte 7" in str(refusal(FORM, body))

    def test_refuses_thousands_of_parts(self):
        part = b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'

        with pytest.raises(BodyTooLargeError, match=f"{MAX_PARTS} parts"):
            parse_job(FORM, part * 5000 + b"--frontier--\r\n")

    def test_takes_the_form_of_the_largest_batch(self):
        asked = form(*[b"x"] * 100, options="{}", metadata="{}", priority="low")

        sources, _ = parse_batch(asked["headers"]["Content-Type"], asked["body"])

        assert len(sources) == 100

    def test_refuses_a_field_that_is_too_long(self):
        parse_form(b"x", priority="p" * MAX_FIELD_BYTES)

        with pytest.raises(BodyTooLargeError, match="'priority'"):
            parse_form(b"x", priority="p" * (MAX_FIELD_BYTES + 1))

    @pytest.mark.parametrize(
        "body",
        [
            b"x" * 1_000_000,
            b"--frontier\r\n" + b"h" * 1_000_000,
            b"--frontier\r\n" + b"a: b\r\n" * 100_000,
        ],
    )
    def test_refuses_endless_headers(self, body: bytes):
        assert refusal(FORM, body).status == 413

    @given(
        st.sampled_from(["", "multipart/form-data", FORM, 'multipart/form-data; boundary="', FORM])
        | st.text(st.characters(exclude_categories=()), max_size=30).map(
            lambda text: f"multipart/form-data; {text}"
        ),
        st.lists(
            st.sampled_from(
                [
                    b"--frontier",
                    b"--frontier--",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"\r\n\r\n",
                    DISPOSITION,
                    b'Content-Disposition: form-data; name="options"',
                    b"Content-Disposition: form-data; name*=utf-99''%ff; filename*0*=x''%",
                    b"Content-Type: text/plain; charset=utf-7",
                    b"Content-Length: 9" + b"9" * 5000,
                    b"{",
                    b"\x00",
                    b"\xff",
                ]
            )
            | st.binary(max_size=10),
            max_size=12,
        ).map(b"".join),
    )
    @example("multipart/form-data; boundary*=utf-99''x", b"--x\r\n")
    def test_never_fails_otherwise(self, content_type: str, body: bytes):
        for parse in (parse_job, parse_batch):
            with suppress(InvalidRequestError, BodyTooLargeError, ImageTooLargeError):
                parse(content_type, body)
