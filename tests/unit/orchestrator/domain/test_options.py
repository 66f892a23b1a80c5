import math

import pytest

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.options import WHOLE_OPTIONS, check_options

EVERYTHING = {
    "preset": "high",
    "steps": 50,
    "guidance_scale": 5,
    "octree_resolution": 380,
    "flash_vdm": False,
    "min_quality": "full",
    "texture": True,
    "texture_size": 2048,
    "face_count": 40_000,
    "remove_background": True,
    "seed": 7,
}


class TestCheckOptions:
    def test_lets_through_what_it_knows(self):
        assert check_options(EVERYTHING) == EVERYTHING

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"speed": 3}, "unknown option 'speed'. Allowed: face_count"),
            ({"preset": "fast"}, "option preset must be one of draft, standard, high"),
            ({"preset": ["high"]}, "option preset must be one of"),
            ({"guidance_scale": math.nan}, "option guidance_scale must be a number from 0 to 20"),
            ({"guidance_scale": "5"}, "option guidance_scale must be a number"),
            ({"guidance_scale": True}, "option guidance_scale must be a number"),
            ({"steps": 0}, "option steps must be a whole number from 1 to 100"),
            ({"steps": 5.5}, "option steps must be a whole number"),
            ({"steps": math.inf}, "option steps must be a whole number"),
            ({"guidance_scale": 10**400}, "option guidance_scale must be a number"),
            ({"guidance_scale": math.inf}, "option guidance_scale must be a number"),
            ({"steps": True}, "option steps must be a whole number"),
            ({"flash_vdm": 1}, "option flash_vdm must be true or false"),
        ],
    )
    def test_says_what_an_option_must_be(self, options, words):
        with pytest.raises(InvalidRequestError, match=words) as caught:
            check_options(options)
        assert caught.value.code == "invalid_option"

    def test_null_is_not_given(self):
        assert check_options(dict.fromkeys(EVERYTHING)) == {}

    @pytest.mark.parametrize("name", sorted(WHOLE_OPTIONS))
    def test_a_whole_number_may_be_written_with_a_point(self, name: str):
        low = WHOLE_OPTIONS[name][0]
        given = check_options({name: float(low)})

        assert given == {name: low}
        assert isinstance(given[name], int)

    def test_shows_little_of_an_unknown_name(self):
        with pytest.raises(InvalidRequestError) as caught:
            check_options({"x" * 1_000_000: 1})
        assert len(str(caught.value)) < 500

    def test_wants_an_object(self):
        with pytest.raises(InvalidRequestError, match="must be a JSON object"):
            check_options([1])
