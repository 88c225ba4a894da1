"""Whether a run says that bfloat16 costs time here."""

from fedkeyboard import model, precision


def test_a_product_of_each_kind_is_timed():
    ratio = precision.bfloat16_by_float32(model.Sizes(vocabulary=2000))
    assert 0.05 < ratio < 20


def test_it_is_said_where_bfloat16_is_slower_and_only_there():
    assert "1.43 times" in precision.notice(1.43)
    assert precision.notice(0.8) is None
