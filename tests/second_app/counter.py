"""Aggregator: an entity that counts what passes a gate, told by signals, asked by a workflow."""

import json

import azure.durable_functions as df
import azure.functions as func

counter = df.Blueprint()


@counter.route(route="gates/{gate}/passages", methods=["POST"])
@counter.durable_client_input(client_name="client")
async def note_passage(req: func.HttpRequest, client) -> func.HttpResponse:
    gate = df.EntityId("Gate", req.route_params["gate"])
    await client.signal_entity(gate, "pass", {"pieces": int(req.params.get("pieces", 1))})
    return func.HttpResponse(status_code=202)


@counter.route(route="gates/{gate}", methods=["GET"])
@counter.durable_client_input(client_name="client")
async def read_gate(req: func.HttpRequest, client) -> func.HttpResponse:
    found = await client.read_entity_state(df.EntityId("Gate", req.route_params["gate"]))
    if not found.entity_exists:
        return func.HttpResponse("nothing ever passed here", status_code=404)
    return func.HttpResponse(json.dumps(found.entity_state), mimetype="application/json")


@counter.route(route="gates/{gate}/closing", methods=["POST"])
@counter.durable_client_input(client_name="client")
async def close_gate(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new("close", client_input={"gate": req.route_params["gate"]})
    return client.create_check_status_response(req, instance_id)


@counter.orchestration_trigger(context_name="context")
def close(context: df.DurableOrchestrationContext):
    gate = df.EntityId("Gate", context.get_input()["gate"])
    before = yield context.call_entity(gate, "read")
    after = yield context.call_entity(gate, "pass", {"pieces": 1})
    context.signal_entity(gate, "reset")
    return {"before": before, "after": after}


@counter.entity_trigger(context_name="context", entity_name="Gate")
def gate(context: df.DurableEntityContext):
    state = context.get_state(lambda: {"pieces": 0, "passages": 0})
    match context.operation_name:
        case "pass":
            state["pieces"] += context.get_input()["pieces"]
            state["passages"] += 1
        case "reset":
            state = {"pieces": 0, "passages": 0}
    context.set_state(state)
    context.set_result(state["pieces"])
