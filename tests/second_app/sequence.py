"""Function chaining: each step takes what the one before gave; a failed one is made good."""

import time

import azure.durable_functions as df
import azure.functions as func
import ledger

sequence = df.Blueprint()

TWICE_MORE = df.RetryOptions(first_retry_interval_in_milliseconds=50, max_number_of_attempts=3)


@sequence.function_name("PlaceOrder")
@sequence.route(route="orders", methods=[func.HttpMethod.POST])
@sequence.durable_client_input(client_name="starter")
async def place_order(req: func.HttpRequest, starter) -> func.HttpResponse:
    instance_id = await starter.start_new("FulfilOrder", client_input=req.get_json())
    return starter.create_check_status_response(req, instance_id)


@sequence.orchestration_trigger(context_name="context", orchestration="FulfilOrder")
def fulfil_order(context: df.DurableOrchestrationContext):
    order = context.get_input()
    context.set_custom_status("picking")
    picked = yield context.call_activity("pick_goods", order)
    context.set_custom_status("charging")
    try:
        paid = yield context.call_activity_with_retry("charge_card", TWICE_MORE, picked)
    except Exception:
        yield context.call_activity("put_goods_back", picked)
        context.set_custom_status("refused")
        return {"order": order["number"], "shipped": False}
    context.set_custom_status("shipping")
    label = yield context.call_activity("ship_parcel", paid)
    context.set_custom_status("done")
    return {"order": order["number"], "shipped": True, "label": label}


@sequence.activity_trigger(input_name="order")
def pick_goods(order: dict) -> dict:
    ledger.write(f"order-{order['number']}", "picked")
    return {**order, "goods": sorted(order["goods"])}


@sequence.activity_trigger(input_name="order")
def charge_card(order: dict) -> dict:
    time.sleep(order.get("bank_takes_s", 0))
    ledger.write(f"order-{order['number']}", "charged")
    if order["card"] == "expired":
        raise ValueError("the card has expired")
    return {**order, "receipt": f"R{order['number']}"}


@sequence.activity_trigger(input_name="order")
def put_goods_back(order: dict) -> None:
    ledger.write(f"order-{order['number']}", "put back")


@sequence.activity_trigger(input_name="order")
def ship_parcel(order: dict) -> str:
    ledger.write(f"order-{order['number']}", "shipped")
    return f"{order['receipt']}: {', '.join(order['goods'])}"
