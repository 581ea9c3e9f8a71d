from modelyard.processes.launch import LONGEST_DELAY_SECONDS, STEADY_SECONDS, back_off_seconds, note_start, starts


def test_the_first_start_is_not_delayed(tmp_path):
    assert note_start(tmp_path / "x.starts", now=100.0) == 0


def test_quick_exits_are_delayed_more_and_more_up_to_a_limit(tmp_path):
    record = tmp_path / "x.starts"
    now, delays = 100.0, []
    for _ in range(12):
        delays.append(note_start(record, now))
        now += delays[-1] + 0.1
    assert delays[:5] == [0, 0.5, 1, 2, 4]
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY_SECONDS


def test_a_steady_run_makes_the_next_start_quick_again(tmp_path):
    record = tmp_path / "x.starts"
    for _ in range(5):
        note_start(record, 100.0)
    assert note_start(record, 200.0 + STEADY_SECONDS) == 0


def test_starts_are_counted(tmp_path):
    record = tmp_path / "x.starts"
    note_start(record, 1.0)
    note_start(record, 2.0)
    assert starts(record) == 2


def test_a_damaged_record_counts_as_none(tmp_path):
    record = tmp_path / "x.starts"
    record.write_text("{")
    assert starts(record) == 0
    assert note_start(record, 1.0) == 0


def test_the_back_off_is_capped():
    assert back_off_seconds(10_000) == LONGEST_DELAY_SECONDS
