#!/bin/bash
# install-extensions.sh HOME TOOLS_LOCK REPOSITORY COMMIT ARCHITECTURES: compiles what no index has,
# custom_rasterizer for the GPUs named and mesh_processor for the CPU, from one commit of its source.
set -euo pipefail
home=$1 tools_lock=$2 repository=$3 commit=$4 architectures=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git init -q "$work/source"
git -C "$work/source" fetch -q --depth 1 "$repository" "$commit"
git -C "$work/source" checkout -q FETCH_HEAD
[[ $(git -C "$work/source" rev-parse HEAD) == "$commit" ]]

# nvcc and its headers come from the same release of CUDA as torch's own libraries, and go again.
"$home/venv/bin/pip" install --quiet --no-deps --require-hashes --only-binary=:all: \
  --target "$work/tools" -r "$tools_lock"
export CUDA_HOME=$work/tools/nvidia/cu13
chmod +x "$CUDA_HOME"/bin/* "$CUDA_HOME"/nvvm/bin/*
# The wheels hold libraries as programs load them; a linker wants them without a number.
ln -sfn lib "$CUDA_HOME/lib64"
for library in "$CUDA_HOME"/lib/lib*.so.*; do
  ln -sf "$(basename "$library")" "${library%%.so.*}.so"
done

# A builder has no GPU to ask, so the architectures are named; without isolation, because setup.py
# imports the torch that it compiles for.
export TORCH_CUDA_ARCH_LIST=$architectures MAX_JOBS=${MAX_JOBS:-4} PATH=$work/tools/bin:$PATH
"$home/venv/bin/pip" install --quiet --no-deps --no-index --no-build-isolation \
  "$work/source/hy3dgen/texgen/custom_rasterizer"

# Into the package itself, where it is imported from: there it goes before the slow mesh_processor.py.
python=$home/venv/bin/python
package=$("$python" -c 'import importlib.util as u; print(u.find_spec("hy3dgen").submodule_search_locations[0])')
target=$package/texgen/differentiable_renderer
# shellcheck disable=SC2046 # several options, none with blanks
c++ -O3 -shared -std=c++14 -fPIC $("$python" -m pybind11 --includes) \
  "$work/source/hy3dgen/texgen/differentiable_renderer/mesh_processor.cpp" \
  -o "$target/mesh_processor$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"
chmod -R a+rX,go-w "$home"
