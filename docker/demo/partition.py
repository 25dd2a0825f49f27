"""One node is cut off from the others, not from its clients: what CP and AP mean, side by side."""

import time

from stage import NODES, PROJECT, Stage, claim, run, say, show, stage, table, wait_until

LOST, MAJORITY = "n3", "n1"
NETWORK = f"{PROJECT}_peers"
KEYS = [f"key-{number}" for number in range(6)]


def main() -> None:
    with stage("Partition: a node is cut off from the others") as cluster:
        say("Some values, which all nodes hold.")
        for key in KEYS:
            claim(cluster.ask("n2", "PUT", f"/v1/kv/{key}", "before").status == 204, f"put {key}=before")
        wait_until(
            lambda: cluster.ask(LOST, "GET", f"/v1/kv/{KEYS[0]}?consistency=stale").text == "before", "n3 has them"
        )

        say(f"{LOST} is disconnected from the network of the nodes. Its clients still reach it.")
        container = cluster.container(LOST)
        run("docker", "network", "disconnect", NETWORK, container)
        seconds = wait_until(lambda: set(cluster.leaders(LOST)) == {"nobody"}, f"{LOST} has noticed", 20)
        show(f"{seconds:.1f} s later it knows that it is alone, and leads nothing")
        wait_until(
            lambda: LOST not in (now := cluster.leaders(MAJORITY)) and "nobody" not in now, "the others lead", 20
        )

        say("Side by side, what the two sides say of the same keys:")
        rows, answers = [], {}
        for name, method, query in (
            ("a write", "PUT", ""),
            ("a linearizable read", "GET", ""),
            ("a stale read", "GET", "?consistency=stale"),
        ):
            for node in (MAJORITY, LOST):
                answers[name, node] = cluster.ask(
                    node, method, f"/v1/kv/{KEYS[0]}{query}", "after" if method == "PUT" else ""
                )
            rows.append([name, *[answers[name, node].brief for node in (MAJORITY, LOST)]])
        for name, one, other in rows:
            show(f"{name}")
            show(f"   {MAJORITY}, with the majority:   {one}")
            show(f"   {LOST}, alone:               {other}")

        write, read, stale = (answers[name, LOST] for name, *_ in rows)
        claim(answers["a write", MAJORITY].status == 204, "CP: the majority goes on writing")
        claim(answers["a linearizable read", MAJORITY].text == "after", "CP: and reads what it has written")
        claim(
            write.status == 503 and read.status == 503,
            "CP: alone, it refuses to write, and to call anything the newest",
        )
        claim('"not_applied"' in write.text, "and it says that nothing was done")
        claim(
            max(write.seconds, read.seconds) < 3,
            f"promptly: in {max(write.seconds, read.seconds):.1f} s, not at the end of a timeout",
        )
        claim(stale.status == 200 and stale.text == "before", "AP: it still answers who asks for no more than it has")
        first = int(stale.headers["kv-staleness-ms"])
        time.sleep(2)
        second = int(cluster.ask(LOST, "GET", f"/v1/kv/{KEYS[0]}?consistency=stale").headers["kv-staleness-ms"])
        show(f"how old that may be: {first} ms, and two seconds later {second} ms")
        claim(second >= first + 1_500, "and it says how old its answer may be")

        say("The network heals.")
        run("docker", "network", "connect", "--alias", f"{LOST}-peer", NETWORK, container)
        show(f"{LOST} is ready {cluster.wait_ready(LOST):.2f} s later")
        agree(cluster)


def agree(cluster: Stage) -> None:
    """All nodes say the same of every key, at once and of what they hold themselves."""
    rows = [[key, *[cluster.ask(node, "GET", f"/v1/kv/{key}").text for node in NODES]] for key in KEYS]
    table(["key", *NODES], rows)
    claim(all(len(set(row[1:])) == 1 for row in rows) and rows[0][1] == "after", "all three agree, and nothing is lost")
    wait_until(
        lambda: cluster.ask(LOST, "GET", f"/v1/kv/{KEYS[0]}?consistency=stale").text == "after", f"{LOST} has caught up"
    )
    claim(True, f"{LOST} holds by itself what was written without it")


if __name__ == "__main__":
    main()
