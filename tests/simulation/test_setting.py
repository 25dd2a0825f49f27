import random

from app.simulation.setting import LONGEST_LEASE_SECONDS, Setting, draw_setting


def test_equal_seeds_make_equal_settings() -> None:
    assert draw_setting(random.Random(7), 5) == draw_setting(random.Random(7), 5)


def test_many_seeds_try_many_ways() -> None:
    drawn = {draw_setting(random.Random(seed), 5) for seed in range(200)}

    assert {setting.replicas for setting in drawn} == {3, 5}
    assert {setting.lease_seconds for setting in drawn} == {0.0, LONGEST_LEASE_SECONDS}
    assert len({setting.memtable_bytes for setting in drawn}) > 1
    assert {setting.quiet_seconds for setting in drawn} == {0.05, 0.2, 0.5, 2.0}


def test_clocks_are_wild_now_and_then_but_never_with_leases() -> None:
    drawn = {draw_setting(random.Random(seed), 5) for seed in range(200)}

    wild = [setting for setting in drawn if setting.has_wild_clocks]
    assert len(drawn) / 10 < len(wild) < len(drawn) / 3
    assert not any(setting.lease_seconds for setting in wild)
    assert {setting.grace_seconds for setting in drawn} == {0.0, 2.0, 10.0}


def test_no_partition_has_more_replicas_than_there_are_nodes() -> None:
    assert all(draw_setting(random.Random(seed), 3).replicas == 3 for seed in range(50))


def test_a_setting_says_what_it_is() -> None:
    told = "replicas 5, memtable 8192 bytes, lease 0.8 s, quiet 0.2 s, grace 2 s, steady clocks"

    assert str(Setting(5, 0.8, 8192, 0.2, 2.0)) == told
