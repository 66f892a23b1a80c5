"""The host's clock: what it showed, and by how much it jumped in between."""

from random import Random

from localcloud.rehearsal.virtual_time import BEGINNING, HostClock, VirtualLoop


class TestHostClock:
    def test_tells_how_far_it_jumped_between_two_moments(self):
        loop = VirtualLoop(Random(1))
        clock = HostClock(loop)
        for at, step_s in ((10.0, 87.0), (20.0, -30.0)):
            loop.call_at(at, clock.jump, step_s)
        loop.call_at(30.0, loop.stop)
        loop.run_forever()
        loop.close()

        assert clock.at(30.0) == BEGINNING + 30.0 + 57.0
        assert clock.jumped_s(5.0, 15.0) == 87.0
        assert clock.jumped_s(5.0, 25.0) == 117.0
        assert clock.jumped_s(21.0, 30.0) == 0.0
