"""Async HTTP API: begin something long, answer at once, let the caller poll."""

import time

import azure.durable_functions as df
import azure.functions as func
import ledger

long_running = df.Blueprint()


@long_running.route(route="inventories/{name}", methods=["POST"])
@long_running.durable_client_input(client_name="client")
async def begin_inventory(req: func.HttpRequest, client) -> func.HttpResponse:
    order = {"name": req.route_params["name"], "takes_s": float(req.params.get("takes_s", 0))}
    instance_id = await client.start_new("make_inventory", client_input=order)
    wait_s = float(req.params.get("wait_s", 0))
    if not wait_s:
        return client.create_check_status_response(req, instance_id)
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, int(wait_s * 1000), 20
    )


@long_running.orchestration_trigger(context_name="context")
def make_inventory(context: df.DurableOrchestrationContext):
    order = context.get_input()
    pages = yield context.call_activity("write_inventory", order)
    return {"inventory": f"{order['name']}-{context.new_uuid()[:8]}", "pages": pages}


@long_running.activity_trigger(input_name="order")
def write_inventory(order: dict) -> int:
    ledger.write(f"inventory-{order['name']}", "begun")
    time.sleep(order["takes_s"])
    return 3
