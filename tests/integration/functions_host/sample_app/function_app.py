"""A function app that uses every part of the host once, written as for Azure."""

import asyncio
import json
import logging
import os
import time
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
NOTES = Path(os.environ["SAMPLE_NOTES"])


def note(name):
    """Append a line that survives any kill."""
    NOTES.mkdir(parents=True, exist_ok=True)
    with (NOTES / name).open("a") as file:
        file.write("x")


# HTTP


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client):
    body = req.get_body()
    instance_id = await client.start_new(
        req.route_params["name"],
        instance_id=req.params.get("id"),
        client_input=json.loads(body) if body else None,
    )
    return client.create_check_status_response(req, instance_id)


@app.route(route="client/{operation}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def operate(req: func.HttpRequest, client):
    key = req.route_params["id"]
    data = json.loads(req.get_body() or b"null")
    operations = {
        "raise": lambda: client.raise_event(key, data["name"], data.get("data")),
        "terminate": lambda: client.terminate(key, data),
        "suspend": lambda: client.suspend(key, data),
        "resume": lambda: client.resume(key, data),
        "purge": lambda: client.purge_instance_history(key),
        "restart": lambda: client.restart(key, False),
        "status": lambda: client.get_status(key, show_history=True, show_history_output=True),
        "signal": lambda: client.signal_entity(
            df.EntityId("Counter", key), data["op"], data.get("input")
        ),
        "state": lambda: client.read_entity_state(df.EntityId("Counter", key)),
    }
    try:
        result = await operations[req.route_params["operation"]]()
    except Exception as error:
        return func.HttpResponse(json.dumps({"error": str(error)}), status_code=418)
    shown = {
        "purge": lambda: result.instances_deleted,
        "status": lambda: {"found": bool(result), "status": str(result.runtime_status)},
        "state": lambda: {"exists": result.entity_exists, "state": result.entity_state},
    }
    answer = shown.get(req.route_params["operation"], lambda: result)()
    return func.HttpResponse(json.dumps(answer), mimetype="application/json")


@app.route(route="clients")
@app.durable_client_input(client_name="client")
async def list_all(req: func.HttpRequest, client):
    return json.dumps(sorted(one.instance_id for one in await client.get_status_all()))


@app.route(route="echo/{number:int?}", methods=["GET", "PUT"])
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    answer = {
        "method": req.method,
        "params": dict(req.params),
        "route": dict(req.route_params),
        "header": req.headers.get("X-Sample"),
        "encoding": req.headers.get("Transfer-Encoding"),
        "bytes": len(req.get_body()),
        "function": context.function_name,
        "setting": os.environ["SAMPLE_GREETING"],
    }
    response = func.HttpResponse(json.dumps(answer), status_code=201, mimetype="application/json")
    response.headers.add("X-Sample", req.headers.get("X-Sample", ""))
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2; HttpOnly")
    return response


@app.route(route="files/{*path}")
def files(req: func.HttpRequest) -> str:
    return req.route_params.get("path", "nothing")


@app.route(route="fails")
def fails(req: func.HttpRequest) -> str:
    raise ValueError("not for the caller's eyes")


@app.route(route="silent")
def silent(req: func.HttpRequest):
    return None


# Timer


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *", run_on_startup=True)
def nightly(timer: func.TimerRequest) -> None:
    note("nightly-past-due" if timer.past_due else "nightly")


# Activities


@app.activity_trigger(input_name="name")
def greet(name):
    return f"hello {name}"


@app.activity_trigger(input_name="seconds")
def nap(seconds):
    note("nap-begun")
    time.sleep(seconds)
    note("nap-ended")
    return seconds


@app.activity_trigger(input_name="seconds")
async def follow(seconds):
    await asyncio.sleep(seconds)
    return seconds


@app.activity_trigger(input_name="path")
async def await_file(path):
    note("await-begun")
    while not Path(path).exists():
        await asyncio.sleep(0.01)
    return "seen"


@app.activity_trigger(input_name="order")
def flaky(order):
    note(f"flaky-{order['key']}")
    tries = len((NOTES / f"flaky-{order['key']}").read_text())
    if tries < order["good_at"]:
        raise ValueError(f"try {tries}")
    return tries


@app.activity_trigger(input_name="key")
def count(key):
    note(f"count-{key}")
    return key


# Orchestrators


@app.orchestration_trigger(context_name="context")
def chain(context):
    names = []
    for name in context.get_input() or ["a", "b", "c"]:
        names.append((yield context.call_activity("greet", name)))
        context.set_custom_status({"done": len(names)})
    return names


@app.orchestration_trigger(context_name="context")
def fan_out(context):
    total = yield context.task_all(
        [context.call_activity("greet", str(n)) for n in range(context.get_input())]
    )
    return len(set(total))


@app.orchestration_trigger(context_name="context")
def naps(context):
    yield context.task_all([context.call_activity("nap", 60) for _ in range(context.get_input())])


@app.orchestration_trigger(context_name="context")
def counted(context):
    order = context.get_input()
    done = 0
    for n in range(order["steps"]):
        results = yield context.task_all(
            [context.call_activity("count", f"{order['key']}-{n}-{m}") for m in range(3)]
        )
        done += len(results)
        yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=20))
    return done


@app.orchestration_trigger(context_name="context")
def waits_for_file(context):
    result = yield context.call_activity("await_file", context.get_input())
    after = yield context.call_activity("greet", "after")
    return [result, after]


@app.orchestration_trigger(context_name="context")
def retries(context):
    options = df.RetryOptions(10, 3)
    try:
        tries = yield context.call_activity_with_retry("flaky", options, context.get_input())
    except Exception as error:
        after = yield context.call_activity("greet", "gave up")
        return {"error": str(error).split("\n")[0], "after": after}
    after = yield context.call_activity("greet", "made it")
    return {"tries": tries, "after": after}


@app.orchestration_trigger(context_name="context")
def parent(context):
    order = context.get_input() or {}
    named = yield context.call_sub_orchestrator(
        "chain", ["x"], instance_id=f"{context.instance_id}-named"
    )
    unnamed = yield context.call_sub_orchestrator("chain", ["y"])
    try:
        yield context.call_sub_orchestrator(order.get("failing", "raises"))
    except Exception as error:
        return [named, unnamed, str(error).strip()]
    return "the child did not fail"


@app.orchestration_trigger(context_name="context")
def raises(context):
    yield context.call_activity("greet", "x")
    raise RuntimeError("told you")


@app.orchestration_trigger(context_name="context")
def approval(context):
    timeout = context.create_timer(
        context.current_utc_datetime + timedelta(seconds=context.get_input() or 600)
    )
    approved = context.wait_for_external_event("Approval")
    winner = yield context.task_any([approved, timeout])
    if winner is approved:
        timeout.cancel()
        return {"approved": approved.result}
    return {"approved": None}


@app.orchestration_trigger(context_name="context")
def events(context):
    first = yield context.wait_for_external_event("first")
    second = yield context.wait_for_external_event("second")
    return [first, second]


@app.orchestration_trigger(context_name="context")
def eternal(context):
    rounds = context.get_input()
    yield context.call_activity("greet", "again")
    if rounds <= 1:
        return "enough"
    context.continue_as_new(rounds - 1)


@app.orchestration_trigger(context_name="context")
def talks_to_entity(context):
    counter = df.EntityId("Counter", context.instance_id)
    context.signal_entity(counter, "add", 40)
    value = yield context.call_entity(counter, "add", 2)
    try:
        yield context.call_entity(counter, "explode")
    except Exception as error:
        return [value, str(error)]
    return "the entity did not fail"


@app.orchestration_trigger(context_name="context")
def unknown_activity(context):
    yield context.call_activity("nobody", None)


@app.orchestration_trigger(context_name="context")
def leaves_timer(context):
    yield context.task_any(
        [
            context.call_activity("greet", "x"),
            context.create_timer(context.current_utc_datetime + timedelta(seconds=30)),
        ]
    )
    return "done"


@app.orchestration_trigger(context_name="context")
def plain(context):
    return {"input": context.get_input()}


@app.orchestration_trigger(context_name="context")
def tells_version(context):
    return context.version


# Entity


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
        context.set_state(value)
        context.set_result(value)
    elif context.operation_name == "explode":
        raise ValueError("boom")
    elif context.operation_name == "delete":
        context.destruct_on_exit()
    logging.getLogger("sample").debug("counter is %s", value)
