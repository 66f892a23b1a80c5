"""Which colour profiles are let through to the colour library."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from orchestrator.intake.formats.icc_profile import (
    MAX_CURVE_POINTS,
    MAX_PROFILE_BYTES,
    ProfileError,
    parametric_curve,
    read_plain_profile,
    write_profile,
    write_rgb_profile,
)

COLORANTS = ((0.436, 0.222, 0.014), (0.385, 0.717, 0.097), (0.143, 0.061, 0.714))
GAMMA = parametric_curve(0, 2.2)
MATRIX_PROFILE = write_rgb_profile(COLORANTS, GAMMA).data
MPET = struct.pack(">4sIHHI", b"mpet", 0, 3, 3, 10_000) + bytes(80_000)


def tags_of(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    tags = {}
    for number in range(count):
        kind, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        tags[kind] = profile[offset : offset + size]
    return tags


def header(space: bytes = b"RGB ") -> bytes:
    return MATRIX_PROFILE[:16] + space + MATRIX_PROFILE[20:128]


def profile_of(*, space: bytes = b"RGB ", **tags: bytes) -> bytes:
    return write_profile(header(space), {kind.encode(): body for kind, body in tags.items()})


def table(channels: int, side: int, points: int = 2, *, short_by: int = 0) -> bytes:
    entries = channels * points + 3 * side**channels + 3 * points
    start = struct.pack(">4sIBBBB36xHH", b"mft2", 0, channels, 3, side, 0, points, points)
    return start + bytes(2 * entries - short_by)


def curve(points: int) -> bytes:
    return struct.pack(">4sII", b"curv", 0, points) + bytes(2 * points)


def staged(*, side: int = 2, points: int = 2) -> bytes:
    parts = [curve(points) * 3, bytes(48), curve(points) * 3]
    parts.append(bytes([side] * 3).ljust(16, b"\0") + b"\2\0\0\0" + bytes(6 * side**3))
    offsets, at = [], 32
    for part in parts:
        offsets.append(at)
        at += len(part) + -len(part) % 4
    start = struct.pack(">4sIBBH5I", b"mAB ", 0, 3, 3, 0, *offsets, offsets[0])
    return start + b"".join(part + bytes(-len(part) % 4) for part in parts)


class TestReadPlainProfile:
    def test_keeps_a_matrix_with_curves(self):
        assert tags_of(read_plain_profile(MATRIX_PROFILE).data) == tags_of(MATRIX_PROFILE)

    def test_keeps_the_rest_of_a_profile_that_lists_elements_too(self):
        tags = {**tags_of(MATRIX_PROFILE), b"D2B0": MPET, b"A2B0": MPET, b"B2A0": MPET}

        plain = read_plain_profile(write_profile(header(), tags))

        assert tags_of(plain.data) == tags_of(MATRIX_PROFILE)

    @pytest.mark.parametrize(
        ("space", "channels", "side"), [(b"GRAY", 1, 255), (b"RGB ", 3, 33), (b"CMYK", 4, 9)]
    )
    def test_keeps_a_table(self, space, channels, side):
        profile = profile_of(space=space, A2B0=table(channels, side))

        assert set(tags_of(read_plain_profile(profile).data)) == {b"A2B0"}

    def test_keeps_a_table_of_five_stages(self):
        assert tags_of(read_plain_profile(profile_of(A2B0=staged())).data)

    def test_keeps_the_profiles_that_the_library_makes(self):
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

        assert b"rTRC" in tags_of(read_plain_profile(srgb).data)

    @pytest.mark.parametrize(
        "tag",
        [
            MPET,
            table(4, 2),
            table(3, 33, short_by=2),
            table(3, 2, MAX_CURVE_POINTS + 1),
            staged(points=MAX_CURVE_POINTS + 1),
            staged()[:-4],
            b"mAB ",
        ],
        ids=["elements", "channels", "short", "curve", "stage's curve", "cut", "nothing"],
    )
    def test_leaves_out_a_table_that_is_not_plain(self, tag):
        with pytest.raises(ProfileError, match="neither a plain table nor a matrix"):
            read_plain_profile(profile_of(A2B0=tag))

    def test_leaves_out_curves_that_are_too_long(self):
        tags = {**tags_of(MATRIX_PROFILE), b"gTRC": curve(MAX_CURVE_POINTS + 1)}

        with pytest.raises(ProfileError):
            read_plain_profile(write_profile(header(), tags))

    def test_refuses_what_is_large_before_it_looks(self):
        with pytest.raises(ProfileError, match="larger than 1 MB"):
            read_plain_profile(MATRIX_PROFILE + bytes(MAX_PROFILE_BYTES))

    def test_reads_a_bounded_number_of_tags(self):
        many = MATRIX_PROFILE[:128] + struct.pack(">I", 2**32 - 1) + MATRIX_PROFILE[132:]

        with pytest.raises(ProfileError, match="more than 100 parts"):
            read_plain_profile(many)

    @given(at=st.integers(0, len(MATRIX_PROFILE) - 1), junk=st.binary(max_size=8))
    def test_lets_no_other_error_out_and_never_grows(self, at, junk):
        damaged = MATRIX_PROFILE[:at] + junk + MATRIX_PROFILE[at + len(junk) :]

        try:
            plain = read_plain_profile(damaged)
        except ProfileError:
            return
        assert set(tags_of(plain.data)) <= {*tags_of(MATRIX_PROFILE), b"chad", b"A2B0"}
