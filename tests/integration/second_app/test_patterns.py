"""The patterns that Microsoft describes for Durable, driven over HTTP by a client like any."""

import requests

ORDER = {"number": 7, "goods": ["rope", "lamp"], "card": "good"}
LABEL = "R7: lamp, rope"
HALLS = ({"name": "north", "shelves": 20}, {"name": "south", "shelves": 30})
QUICK = {"every_s": 0.05, "for_s": 60}


class TestChaining:
    def test_hands_each_result_to_the_next_step(self, depot):
        output = depot.run("orders", json=ORDER)

        assert output == {"order": 7, "shipped": True, "label": LABEL}
        assert list(dict.fromkeys(depot.page("order-7"))) == ["picked", "charged", "shipped"]

    def test_makes_a_failed_step_good_after_its_retries(self, depot):
        begun = depot.begin("orders", json={**ORDER, "number": 8, "card": "expired"})

        status = depot.follow(begun)

        assert status["runtimeStatus"] == "Completed"
        assert status["customStatus"] == "refused"
        assert status["output"] == {"order": 8, "shipped": False}
        page = depot.page("order-8")
        assert list(dict.fromkeys(page)) == ["picked", "charged", "put back"]
        assert page.count("charged") == 3 * page.count("picked")

    def test_killed_in_mid_step_repeats_that_step_only(self, own_depot):
        begun = own_depot.begin("orders", json={**ORDER, "bank_takes_s": 0.5})
        own_depot.wait_for_custom_status(begun, lambda shown: shown == "charging")

        own_depot.kill_and_start()

        assert own_depot.follow(begun)["output"]["label"] == LABEL
        page = own_depot.page("order-7")
        assert (page.count("picked"), page.count("shipped")) == (1, 1)
        assert page.count("charged") in (1, 2)


class TestFanOut:
    def test_adds_up_what_the_branches_found(self, depot):
        output = depot.run("stocktakings", json=HALLS)

        assert output == {"pieces": 20 * 21 // 2 + 30 * 31 // 2, "halls": 2}
        assert {int(line) for line in depot.page("shelves-south")} == set(range(30))

    def test_of_nothing_ends_at_once(self, depot):
        assert depot.run("stocktakings", json=[]) == {"pieces": 0, "halls": 0}

    def test_killed_between_branches_loses_none(self, own_depot):
        halls = [{"name": "vast", "shelves": 300}]
        begun = own_depot.begin("stocktakings", json=halls)
        own_depot.until(lambda: len(own_depot.page("shelves-vast")), lambda count: count >= 20)

        own_depot.kill_and_start()

        assert own_depot.follow(begun)["output"]["pieces"] == sum(range(1, 301))
        assert {int(line) for line in own_depot.page("shelves-vast")} == set(range(300))


class TestAsyncHttpApi:
    def test_answers_202_with_urls_until_the_end(self, depot):
        begun = depot.begin("inventories/cellar", params={"takes_s": 0.3})
        urls = begun.json()
        first = requests.get(urls["statusQueryGetUri"], timeout=30)

        status = depot.follow(begun)

        assert first.status_code == 202
        assert "Location" in first.headers
        assert status["instanceId"] == urls["id"]
        assert status["output"]["inventory"].startswith("cellar-")
        assert status["output"]["pages"] == 3
        again = requests.get(urls["statusQueryGetUri"], timeout=30).json()
        assert again["output"] == status["output"]

    def test_answers_200_to_a_caller_that_waits_long_enough(self, depot):
        answer = depot.call("POST", "inventories/attic", params={"wait_s": 20})

        assert answer.status_code == 200
        assert answer.json()["pages"] == 3

    def test_answers_202_to_a_caller_that_does_not(self, depot):
        begun = depot.begin("inventories/yard", params={"takes_s": 0.5, "wait_s": 0.05})

        assert depot.follow(begun)["output"]["pages"] == 3

    def test_can_be_ended_and_purged_by_its_urls(self, depot):
        urls = depot.begin("inventories/roof", params={"takes_s": 0.3}).json()

        ended = requests.post(urls["terminatePostUri"].replace("{text}", "enough"), timeout=30)
        status = depot.until(
            lambda: requests.get(urls["statusQueryGetUri"], timeout=30),
            lambda answer: answer.status_code == 200,
        ).json()
        purged = requests.delete(urls["purgeHistoryDeleteUri"], timeout=30)
        gone = requests.get(urls["statusQueryGetUri"], timeout=30)

        assert ended.status_code == 202
        assert (status["runtimeStatus"], status["output"]) == ("Terminated", "enough")
        assert purged.json() == {"instancesDeleted": 1}
        assert gone.status_code == 404

    def test_urls_outlive_a_kill(self, own_depot):
        begun = own_depot.begin("inventories/vault", params={"takes_s": 0.4})
        own_depot.until(lambda: own_depot.page("inventory-vault"), bool)

        own_depot.kill_and_start()

        assert own_depot.follow(begun)["output"]["pages"] == 3
        assert len(own_depot.page("inventory-vault")) == 2


class TestMonitor:
    def test_looks_until_the_condition_holds(self, depot):
        depot.call("PUT", "parcels/p1/place", data="on a ship")
        begun = depot.begin("parcels/p1/watch", json=QUICK)
        # Past the first generation, which ends after five looks.
        depot.wait_for_custom_status(begun, lambda shown: shown and shown["looks"] > 6)

        depot.call("PUT", "parcels/p1/place", data="delivered")

        output = depot.follow(begun)["output"]
        assert output["delivered"] is True
        assert output["looks"] > 6
        assert set(depot.page("told-p1")) == {"delivered"}

    def test_gives_up_when_its_time_is_over(self, depot):
        output = depot.run("parcels/p2/watch", json={"every_s": 60, "for_s": 0.4})

        assert output == {"delivered": False, "looks": 2}

    def test_is_one_for_each_parcel(self, depot):
        begun = depot.begin("parcels/p3/watch", json=QUICK)
        depot.wait_for_custom_status(begun, bool)

        again = depot.call("POST", "parcels/p3/watch", json=QUICK)

        assert again.status_code == 409
        depot.call("PUT", "parcels/p3/place", data="delivered")
        assert depot.follow(begun)["output"]["delivered"] is True

    def test_killed_between_looks_goes_on_looking(self, own_depot):
        begun = own_depot.begin("parcels/p4/watch", json=QUICK)
        own_depot.wait_for_custom_status(begun, lambda shown: shown and shown["looks"] >= 3)

        own_depot.kill_and_start()
        own_depot.wait_for_custom_status(begun, lambda shown: shown["looks"] >= 8)
        own_depot.call("PUT", "parcels/p4/place", data="delivered")

        assert own_depot.follow(begun)["output"]["delivered"] is True
        assert own_depot.page("told-p4") == ["delivered"]


class TestHumanInteraction:
    def test_goes_by_the_decision_that_comes_in_time(self, depot):
        begun = depot.begin("claims", json={"about": "a broken vase", "patience_s": 600})
        depot.wait_for_custom_status(begun, lambda shown: shown == "waiting for a decision")
        claim = begun.json()["id"]

        decided = depot.call(
            "POST", f"claims/{claim}/decision", json={"name": "Ada", "pays": True}
        )

        assert decided.status_code == 202
        assert depot.follow(begun)["output"] == {
            "about": "a broken vase",
            "settled_by": "Ada",
            "paid": True,
        }
        assert "a broken vase" not in depot.page("director")

    def test_takes_the_decision_at_the_url_of_its_first_answer(self, depot):
        begun = depot.begin("claims", json={"about": "a dent", "patience_s": 600})
        url = begun.json()["sendEventPostUri"].replace("{eventName}", "Decision")

        sent = requests.post(url, json={"name": "Bo", "pays": False}, timeout=30)

        assert sent.status_code == 202
        assert depot.follow(begun)["output"]["settled_by"] == "Bo"

    def test_moves_up_when_nobody_decides(self, depot):
        output = depot.run("claims", json={"about": "a scratch", "patience_s": 0.3})

        assert output == {"about": "a scratch", "settled_by": "director"}
        assert "a scratch" in depot.page("director")

    def test_killed_while_it_waits_still_hears_the_decision(self, own_depot):
        begun = own_depot.begin("claims", json={"about": "a leak", "patience_s": 600})
        own_depot.wait_for_custom_status(begun, lambda shown: shown == "waiting for a decision")

        own_depot.kill_and_start()
        url = begun.json()["sendEventPostUri"].replace("{eventName}", "Decision")
        requests.post(url, json={"name": "Cy", "pays": True}, timeout=30)

        assert own_depot.follow(begun)["output"]["settled_by"] == "Cy"
        assert own_depot.page("clerk") == ["a leak"]

    def test_that_timed_out_while_the_host_was_dead_moves_up_after_it(self, own_depot):
        begun = own_depot.begin("claims", json={"about": "a flood", "patience_s": 1.0})
        own_depot.wait_for_custom_status(begun, lambda shown: shown == "waiting for a decision")

        own_depot.kill_and_start()

        assert own_depot.follow(begun)["output"]["settled_by"] == "director"
        assert own_depot.page("clerk") == ["a flood"]


class TestCounterEntity:
    def test_adds_up_signals_and_answers_calls(self, depot):
        for pieces in range(1, 11):
            depot.call("POST", "gates/east/passages", params={"pieces": pieces})
        depot.until(
            lambda: depot.call("GET", "gates/east"),
            lambda answer: answer.status_code == 200 and answer.json()["passages"] == 10,
        )

        output = depot.run("gates/east/closing")

        assert output == {"before": 55, "after": 56}
        depot.until(
            lambda: depot.call("GET", "gates/east").json(),
            lambda state: state == {"pieces": 0, "passages": 0},
        )

    def test_that_was_never_told_anything_does_not_exist(self, depot):
        assert depot.call("GET", "gates/nowhere").status_code == 404

    def test_killed_between_signals_keeps_the_count(self, own_depot):
        for _ in range(5):
            assert own_depot.call("POST", "gates/west/passages").status_code == 202

        own_depot.kill_and_start()
        for _ in range(5):
            assert own_depot.call("POST", "gates/west/passages").status_code == 202

        own_depot.until(
            lambda: own_depot.call("GET", "gates/west"),
            lambda answer: answer.status_code == 200 and answer.json()["passages"] == 10,
        )
