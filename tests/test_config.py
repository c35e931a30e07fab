import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pintext.config import Config, TrainConfig, settings
from pintext.errors import ConfigError, PinTextError

# One value inside and two outside of every range, written down apart from the declarations.
GOOD_AND_BAD: dict[str, tuple[Any, Any, Any]] = {
    "dim": (4096, 0, 4097),
    "loss": ("softmax", "squared", 1),
    "temperature": (10.0, 0.005, 11.0),
    "margin": (2.0, 0.0, 2.1),
    "negatives": (1, 0, 1025),
    "max_norm": (0.5, 0.0, 1e7),
    "background": ("engagement", "random", 3),
    "initial_norm": (1e-3, 0.0, 1e7),
    "epochs": (1, 0, 10_001),
    "learning_rate": (10.0, 0.0, 10.5),
    "batch_size": (128, 64, 200),
    "task_weights": ({"search": 0.0}, {"search": -1.0}, {"search": "much"}),
    "task_balance": (1, 1.5, "even"),
    "min_count": (1, 0, 1.5),
    "max_words": (1, 0, 2**31),
    "max_tokens": (1, 0, 2**31),
    "stop_words": (("the", "and"), "the", (1, 2)),
    "validation": (0.0, -0.1, 0.6),
    "patience": (1, 0, "long"),
    "seed": (2**63 - 1, -1, 2**63),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dim", 0, "dim = 0: expected an integer >= 1, <= 4,096"),
        ("dim", "many", "dim = 'many': expected an integer >= 1, <= 4,096"),
        ("loss", "squared", "loss = 'squared': expected hinge or softmax"),
        ("margin", 3, "margin = 3: expected a number > 0, <= 2"),
        ("stop_words", "the", "stop_words = 'the': expected a list of strings"),
        ("task_weights", {"a": -1}, "task_weights = {'a': -1}: expected a table of numbers >= 0"),
    ],
)
def test_a_refusal_says_what_was_expected_in_words(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{name: value})
    assert str(caught.value) == message


def test_every_setting_is_tried_here() -> None:
    assert list(GOOD_AND_BAD) == [setting.name for setting in settings(TrainConfig)]


@pytest.mark.parametrize("name", GOOD_AND_BAD)
def test_a_good_value_is_kept_and_bad_ones_are_refused_by_name(name: str) -> None:
    good, *bad = GOOD_AND_BAD[name]
    assert getattr(TrainConfig(**{name: good}), name) == good
    for value in bad:
        with pytest.raises(ConfigError, match=name):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("name", ["margin", "max_norm", "learning_rate", "validation"])
def test_nan_is_no_number(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        TrainConfig.from_dict({name: math.nan})


def test_settings_are_frozen_and_defaults_are_not_shared() -> None:
    config = TrainConfig()
    with pytest.raises(AttributeError):
        config.dim = 3  # type: ignore[misc]
    config.task_weights["search"] = 2.0
    assert TrainConfig().task_weights == {}


def test_config_error_is_a_pintext_error_and_a_value_error() -> None:
    assert issubclass(ConfigError, PinTextError)
    assert issubclass(ConfigError, ValueError)


def test_unknown_names_are_refused_with_the_names_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"'dims', 'marginn'.*margin, negatives"):
        TrainConfig.from_dict({"marginn": 1, "dims": 3})


@given(
    dim=st.integers(1, 4096),
    margin=st.floats(0, 2, exclude_min=True),
    weights=st.dictionaries(st.text(max_size=5), st.floats(0, 100), max_size=3),
    stop_words=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    seed=st.integers(0, 2**63 - 1),
)
def test_plain_values_make_the_same_config_again(
    dim: int, margin: float, weights: dict[str, float], stop_words: tuple[str, ...], seed: int
) -> None:
    config = TrainConfig(
        dim=dim, margin=margin, task_weights=weights, stop_words=stop_words, seed=seed
    )
    through_json = msgspec.json.decode(msgspec.json.encode(config.to_dict()))
    assert TrainConfig.from_dict(through_json) == config


def test_toml_and_json_files_mean_the_same(tmp_path: Any) -> None:
    toml = tmp_path / "train.toml"
    toml.write_text('dim = 8\nstop_words = ["the"]\n[task_weights]\nsearch = 2\n')
    json = tmp_path / "train.json"
    json.write_text('{"dim": 8, "stop_words": ["the"], "task_weights": {"search": 2}}')
    expected = TrainConfig(dim=8, stop_words=("the",), task_weights={"search": 2.0})
    assert TrainConfig.from_file(toml) == TrainConfig.from_file(str(json)) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"dim = ", "not a valid configuration file"),
        ("a.toml", b"dim = 0", "dim = 0"),
        ("a.toml", b"dims = 3", "unknown setting 'dims'"),
        ("a.toml", b"\xff\xfe", "not a valid configuration file"),
        ("a.json", b"{", "not a valid configuration file"),
        ("a.json", b"[1]", "expected a table of settings, found list"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Any, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as raised:
        TrainConfig.from_file(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot read"):
        TrainConfig.from_file(tmp_path / "nothing.toml")


def test_every_setting_is_explained() -> None:
    for setting in settings(TrainConfig):
        assert len(setting.description) > 10, setting.name
        assert setting.default == getattr(TrainConfig(), setting.name)


def test_article_symbols() -> None:
    symbols = {setting.name: setting.symbol for setting in settings(TrainConfig)}
    assert (symbols["margin"], symbols["negatives"], symbols["max_norm"]) == ("mu", "rho", "gamma")


def test_limits_read_like_the_ranges() -> None:
    limits = {setting.name: setting.limits for setting in settings(TrainConfig)}
    assert limits["dim"] == ">= 1, <= 4,096"
    assert limits["margin"] == "> 0, <= 2"
    assert limits["batch_size"] == ">= 128, <= 65,536, multiple of 128"
    assert limits["background"] == "uniform or engagement"
    assert limits["task_weights"] == limits["stop_words"] == ""


def test_a_stage_without_settings_has_none() -> None:
    class Nothing(Config, frozen=True):
        """A stage that needs no settings."""

    assert list(settings(Nothing)) == []
    assert Nothing.from_dict({}).to_dict() == {}
