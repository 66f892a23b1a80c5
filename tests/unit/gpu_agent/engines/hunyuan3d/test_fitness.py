import re
from importlib.machinery import ModuleSpec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.fitness import (
    EXTENSIONS,
    Needs,
    check_extensions,
    check_gpu,
    count_gib,
    find_fitting,
    require_gpu_memory,
)
from gpu_agent.engines.hunyuan3d.presets import PRESETS

ALL = Needs(device="cuda", presets=tuple(PRESETS), texture=True)


class TestRequireGpuMemory:
    def test_asks_26_gib_for_everything(self):
        assert ALL.gpu_gib == 26

        require_gpu_memory("H100", 79.1, ALL)
        require_gpu_memory("a card", 25.6, ALL)

    def test_refuses_less_and_names_what_would_fit(self):
        with pytest.raises(EngineError) as caught:
            require_gpu_memory("T4", 14.6, ALL)

        assert caught.value.code == "gpu_too_small"
        assert str(caught.value) == (
            "T4 has 14.6 GiB; draft, standard, high with texture need 26; what would fit: "
            "GPU_ENGINE_PRESETS=draft,standard and GPU_ENGINE_TEXTURE=false."
        )

    def test_says_when_nothing_would_fit(self):
        with pytest.raises(EngineError, match="nothing of it would fit"):
            require_gpu_memory("K80", 8.0, ALL)

    @given(st.floats(0, 100), st.sets(st.sampled_from(tuple(PRESETS)), min_size=1), st.booleans())
    def test_names_only_what_it_would_accept(self, total_gib: float, names, texture: bool):
        needs = Needs(device="cuda", presets=tuple(sorted(names)), texture=texture)
        advice = find_fitting(total_gib, needs)

        if total_gib + 0.5 >= needs.gpu_gib:
            require_gpu_memory("x", total_gib, needs)
            assert advice is not None
        else:
            with pytest.raises(EngineError, match=re.escape(advice or "nothing of it")):
                require_gpu_memory("x", total_gib, needs)
        if advice is None:
            assert total_gib < min(count_gib((name,), texture=False) for name in names)


class TestCheckGpu:
    def test_says_that_a_cpu_is_not_asked(self):
        said = []

        check_gpu(
            Needs(device="cpu", presets=("draft",), texture=True),
            lambda percent, detail: said.append((percent, detail)),
        )

        assert said == [(100, "The device is cpu: the checks of the GPU are skipped.")]


class TestCheckExtensions:
    def test_accepts_what_was_compiled(self):
        check_extensions(lambda name: ModuleSpec(name, None, origin=f"/x/{name}.so"))

    @pytest.mark.parametrize("missing", EXTENSIONS)
    def test_refuses_the_slow_stand_in_in_python(self, missing: str):
        def find(name: str) -> ModuleSpec:
            return ModuleSpec(name, None, origin="/x/y.py" if name == missing else "/x/y.so")

        with pytest.raises(EngineError, match="is not compiled") as caught:
            check_extensions(find)

        assert missing in str(caught.value)

    def test_refuses_what_is_not_there(self):
        def find(name: str) -> None:
            raise ModuleNotFoundError(name)

        with pytest.raises(EngineError, match="not found"):
            check_extensions(find)
