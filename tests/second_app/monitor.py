"""Monitor: look at a parcel until it has arrived or the watch is over, with ever longer pauses."""

from datetime import datetime, timedelta

import azure.durable_functions as df
import azure.functions as func
import ledger

monitor = df.Blueprint()

LOOKS_PER_GENERATION = 5


@monitor.route(route="parcels/{parcel}/watch", methods=["POST"])
@monitor.durable_client_input(client_name="client")
async def watch(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = f"watch-{req.route_params['parcel']}"
    known = await client.get_status(instance_id)
    if known and known.runtime_status is df.OrchestrationRuntimeStatus.Running:
        return func.HttpResponse("this parcel is watched already", status_code=409)
    order = {"parcel": req.route_params["parcel"], "looks": 0, **req.get_json()}
    await client.start_new("watch_parcel", instance_id, order)
    return client.create_check_status_response(req, instance_id)


@monitor.route(route="parcels/{parcel}/place", methods=["PUT"])
def move(req: func.HttpRequest) -> str:
    ledger.write(f"place-{req.route_params['parcel']}", req.get_body().decode())
    return "noted"


@monitor.orchestration_trigger(context_name="context")
def watch_parcel(context: df.DurableOrchestrationContext):
    order = context.get_input()
    if "until" not in order:
        ends_at = context.current_utc_datetime + timedelta(seconds=order["for_s"])
        order["until"] = ends_at.isoformat()
    until = datetime.fromisoformat(order["until"])
    for _ in range(LOOKS_PER_GENERATION):
        place = yield context.call_activity("locate", order["parcel"])
        order["looks"] += 1
        context.set_custom_status({"place": place, "looks": order["looks"]})
        if place == "delivered":
            yield context.call_activity("tell_sender", order["parcel"])
            return {"delivered": True, "looks": order["looks"]}
        if context.current_utc_datetime >= until:
            return {"delivered": False, "looks": order["looks"]}
        pause = timedelta(seconds=order["every_s"])
        yield context.create_timer(min(context.current_utc_datetime + pause, until))
    context.continue_as_new(order)


@monitor.activity_trigger(input_name="parcel")
def locate(parcel: str) -> str:
    places = ledger.read(f"place-{parcel}")
    return places[-1] if places else "unknown"


@monitor.activity_trigger(input_name="parcel")
def tell_sender(parcel: str) -> None:
    ledger.write(f"told-{parcel}", "delivered")
