"""Fan out, fan in: a stocktaking of every shelf of every hall, added up."""

import json

import azure.durable_functions as df
import azure.functions as func
import ledger

fan_out = df.Blueprint()


@fan_out.route(route="stocktakings", methods=["POST"])
@fan_out.durable_client_input(client_name="client")
async def start_stocktaking(req: func.HttpRequest, client) -> func.HttpResponse:
    halls = json.loads(req.get_body())
    instance_id = await client.start_new("take_stock", None, {"halls": halls})
    return client.create_check_status_response(req, instance_id)


@fan_out.orchestration_trigger(context_name="context")
def take_stock(context: df.DurableOrchestrationContext):
    halls = context.get_input()["halls"]
    counts = yield context.task_all(
        [context.call_sub_orchestrator("take_stock_of_hall", hall) for hall in halls]
    )
    # The SDK gives None, not an empty list, when there was nothing to wait for.
    return {"pieces": sum(counts or []), "halls": len(halls)}


@fan_out.orchestration_trigger(context_name="context")
def take_stock_of_hall(context: df.DurableOrchestrationContext):
    hall = context.get_input()
    pieces = yield context.task_all(
        [
            context.call_activity("count_shelf", {"hall": hall["name"], "shelf": number})
            for number in range(hall["shelves"])
        ]
    )
    return sum(pieces)


@fan_out.activity_trigger(input_name="place")
async def count_shelf(place: dict) -> int:
    ledger.write(f"shelves-{place['hall']}", str(place["shelf"]))
    return place["shelf"] + 1
