"""A put, a get, a condition, who leads what, and the receipt."""

from stage import claim, say, show, stage, table


def main() -> None:
    with stage("Tour: one store, three doors") as cluster:
        say("A value is put through one node, and got through another: any node serves any key.")
        put = cluster.ask("n1", "PUT", "/v1/kv/greeting", "hello", content_type="text/plain")
        show(f"PUT n1 greeting=hello   {put.status}, revision {put.headers['etag']}")
        got = cluster.ask("n3", "GET", "/v1/kv/greeting")
        show(f"GET n3 greeting         {got.brief}")
        claim(put.status == 204 and got.text == "hello", "what n1 has acknowledged, n3 gives back")

        say("A put may have a condition: only if nobody has changed the value since it was read.")
        first = cluster.ask("n2", "PUT", "/v1/kv/greeting", "hello, world", if_match=got.headers["etag"])
        second = cluster.ask("n3", "PUT", "/v1/kv/greeting", "goodbye", if_match=got.headers["etag"])
        show(f"PUT n2 if {got.headers['etag']}   {first.status}")
        show(f"PUT n3 if {got.headers['etag']}   {second.brief}")
        claim(
            (first.status, second.status) == (204, 412), "the first comes through, the second is told that it is late"
        )

        say("A write may be repeated safely: under one Idempotency-Key it is done once.")
        counts = [
            cluster.ask(node, "POST", "/v1/kv/visits?op=incr", idempotency_key="visit-1").text
            for node in ("n1", "n2", "n3")
        ]
        show(f"POST visits?op=incr through n1, n2 and n3 under one key: {', '.join(counts)}")
        claim(counts == ["1", "1", "1"], "three requests, one visit")

        say("The keys are cut into 16 partitions; each has a leader, and a copy on each of three nodes.")
        leaders = cluster.leaders("n1")
        table(["node", "leads partitions"], [[node, " ".join(map(str, led))] for node, led in sorted(leaders.items())])
        claim(sum(map(len, leaders.values())) == 16 and "nobody" not in leaders, "every partition has a leader")

        say("A reader says how fresh the answer must be, and the receipt says what it got.")
        rows = []
        for level in ("linearizable", "bounded", "stale"):
            answer = cluster.ask("n2", "GET", f"/v1/kv/greeting?consistency={level}")
            receipt = answer.headers
            rows.append([level, receipt["kv-consistency"], receipt["kv-served-by"], f"{receipt['kv-staleness-ms']} ms"])
            claim(answer.status == 200, f"{level}: answered")
        table(["asked for", "got", "served by", "at most so old"], rows)


if __name__ == "__main__":
    main()
