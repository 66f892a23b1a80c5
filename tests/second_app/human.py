"""Human interaction: a claim waits for somebody's decision, and moves up when none comes."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func
import ledger

human = df.Blueprint()


@human.route(route="claims", methods=["POST"])
@human.durable_client_input(client_name="client")
async def make_claim(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new("settle_claim", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@human.route(route="claims/{claim}/decision", methods=["POST"])
@human.durable_client_input(client_name="client")
async def decide(req: func.HttpRequest, client) -> func.HttpResponse:
    await client.raise_event(req.route_params["claim"], "Decision", req.get_json())
    return func.HttpResponse(status_code=202)


@human.orchestration_trigger(context_name="context")
def settle_claim(context: df.DurableOrchestrationContext):
    claim = context.get_input()
    yield context.call_activity("ask_clerk", claim["about"])
    context.set_custom_status("waiting for a decision")
    due = context.current_utc_datetime + timedelta(seconds=claim["patience_s"])
    timeout = context.create_timer(due)
    decision = context.wait_for_external_event("Decision")
    winner = yield context.task_any([decision, timeout])
    if winner is timeout:
        yield context.call_activity("ask_director", claim["about"])
        return {"about": claim["about"], "settled_by": "director"}
    timeout.cancel()
    answer = decision.result
    if isinstance(answer, str):
        # The SDK's client encodes an event's data once more than a plain HTTP client does.
        answer = json.loads(answer)
    return {"about": claim["about"], "settled_by": answer["name"], "paid": answer["pays"]}


@human.activity_trigger(input_name="about")
def ask_clerk(about: str) -> None:
    ledger.write("clerk", about)


@human.activity_trigger(input_name="about")
def ask_director(about: str) -> None:
    ledger.write("director", about)
