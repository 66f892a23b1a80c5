import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.engines.hunyuan3d.options import (
    FLASH_VDM_OCTREES,
    GUIDANCE,
    KNOWN,
    TRUTH,
    WHOLE,
    HunyuanOptions,
)
from gpu_agent.engines.hunyuan3d.presets import PRESETS, TEXTURE_PARTS, parts_of
from gpu_agent.engines.mask_faults import QUALITIES
from gpu_agent.errors import EngineError
from orchestrator.domain import options as domain

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 300_000),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["draft", "high", "full", "reduced", 63, 126, 252, 380, 5.0, 7]),
    st.lists(st.integers(), max_size=2),
)
OPTIONS = st.dictionaries(st.sampled_from(sorted(KNOWN)), VALUES, max_size=4)


def read(options=None, **more):
    return HunyuanOptions.from_mapping(options or {}, **more)


def refusal(options, **more):
    with pytest.raises(EngineError) as caught:
        read(options, **more)
    assert (caught.value.code, caught.value.retryable) == ("invalid_options", False)
    return str(caught.value)


class TestFromMapping:
    @pytest.mark.parametrize("name", PRESETS)
    def test_takes_from_the_preset_what_is_not_said(self, name):
        options = read({"preset": name, "steps": None})

        preset = PRESETS[name]
        assert options.shape_settings.preset == name
        assert options.shape_settings.steps == preset.steps
        assert options.shape_settings.flash_vdm == preset.flash_vdm
        assert options.texture == preset.texture
        assert options.seed is None

    def test_takes_what_is_said(self):
        options = read({"preset": "high", "steps": 7, "octree_resolution": 96, "seed": 3})

        assert options.shape_settings.octree_resolution == 96
        assert (options.shape_settings.steps, options.seed) == (7, 3)

    def test_offers_only_what_is_loaded(self):
        assert read(presets=("draft",)).preset == "draft"
        assert read(presets=("draft", "standard")).preset == "standard"
        assert "must be one of draft." in refusal({"preset": "high"}, presets=("draft",))

    def test_paints_only_where_it_can(self):
        assert read().texture
        assert not read(can_paint=False).texture
        assert "no texture model" in refusal({"texture": True}, can_paint=False)

    def test_names_an_unknown_option_and_those_that_are_known(self):
        message = refusal({"stepz": 5})

        assert "'stepz'" in message
        assert all(name in message for name in KNOWN)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"steps": 0}, "steps"),
            ({"steps": 101}, "steps"),
            ({"steps": True}, "steps"),
            ({"steps": 5.0}, "steps"),
            ({"octree_resolution": "63"}, "octree_resolution"),
            ({"octree_resolution": 15, "flash_vdm": False}, "octree_resolution"),
            ({"guidance_scale": math.nan}, "guidance_scale"),
            ({"guidance_scale": math.inf}, "guidance_scale"),
            ({"guidance_scale": 10**400}, "guidance_scale"),
            ({"guidance_scale": True}, "guidance_scale"),
            ({"guidance_scale": -0.1}, "guidance_scale"),
            ({"texture": 1}, "texture"),
            ({"seed": -1}, "seed"),
            ({"seed": 2**31}, "seed"),
            ({"min_quality": "any"}, "min_quality"),
            ({"preset": ["draft"]}, "preset"),
        ],
    )
    def test_names_the_option_that_is_wrong(self, options, named):
        assert named.lower() in refusal(options).lower()

    @pytest.mark.parametrize("octree", [62, 64, 128, 256, 384])
    def test_refuses_an_octree_that_flash_vdm_would_shrink(self, octree):
        assert "63, 126, 252, 380" in refusal({"octree_resolution": octree})
        assert read({"octree_resolution": octree, "flash_vdm": False})

    @given(OPTIONS)
    def test_gives_settings_that_the_library_can_be_trusted_with_or_refuses(self, options):
        try:
            settings = read(options).shape_settings
        except EngineError:
            return

        assert 1 <= settings.steps <= 100
        assert math.isfinite(settings.guidance_scale)
        assert settings.guidance_scale >= 0
        assert 16 <= settings.octree_resolution <= 512
        assert not settings.flash_vdm or settings.octree_resolution in FLASH_VDM_OCTREES
        assert settings.preset in PRESETS
        assert {type(settings.steps), type(settings.octree_resolution)} == {int}


class TestAccord:
    def test_has_the_limits_of_the_control_plane(self):
        assert domain.KNOWN_OPTIONS == KNOWN
        assert domain.WHOLE_OPTIONS == WHOLE
        assert domain.NUMBER_OPTIONS == {"guidance_scale": GUIDANCE}
        assert set(domain.TRUTH_OPTIONS) == set(TRUTH)
        assert {"preset": tuple(PRESETS), "min_quality": QUALITIES} == domain.CHOICE_OPTIONS


class TestPartsOf:
    def test_names_each_once(self):
        parts = parts_of(PRESETS, texture=True)

        assert len(parts) == len(set(parts))
        assert set(TEXTURE_PARTS) < set(parts)
        assert set(parts_of(["draft"], texture=False)) < set(parts)
