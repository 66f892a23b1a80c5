"""A function app with blob triggers, written as for Azure."""

import json
import os
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
NOTES = Path(os.environ["BLOB_APP_NOTES"])


def note(file_name, /, **facts):
    """Append a line that survives any kill."""
    with (NOTES / file_name).open("a") as file:
        file.write(json.dumps(facts) + "\n")


@app.route(route="health")
def health(req: func.HttpRequest) -> str:
    return "up"


@app.blob_trigger(
    arg_name="blob", path="inbox/{batch}/{name}.txt", connection="AzureWebJobsStorage"
)
def take(blob: func.InputStream) -> None:
    note(
        "taken",
        name=blob.name,
        text=blob.read().decode(),
        length=blob.length,
        uri=blob.uri,
        metadata=blob.metadata,
    )


@app.blob_trigger(arg_name="blob", path="failed/{name}", connection="AzureWebJobsStorage")
async def reject(blob: func.InputStream) -> None:
    note("rejected", name=blob.name)
    raise ValueError("no good")
