"""Progressive shrinking (Once-for-all, Cai et al. 2020): dimensions become elastic one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules.base import Moment, State
from nas.supernet.sampling.base import Sampler, told
from nas.supernet.subnets import Coded, Subnet, Subnets

ORDER = ("resolution", "kernel", "depth", "width")


@dataclass(frozen=True)
class Progressive:
    """The largest alone for `full_share` of training, then one more dimension of `order` opens per equal phase.

    A dimension is all choices whose name ends in its word; choices that no word names open with the last one. Drawn
    subnets, whose closed dimensions are as in the largest, learn from the largest in place; the paper's teacher is
    the largest as it was after its phase, which would need a second copy of the weights.
    """

    subnets: Subnets
    coded: Coded
    sampler: Sampler
    order: tuple[str, ...] = ORDER
    full_share: float = 0.3
    random_subnets: int = 2
    seed: int = 0

    @property
    def listens(self) -> bool:
        """As the sampler does."""
        return self.sampler.listens

    @cached_property
    def closed(self) -> tuple[tuple[int, ...], ...]:
        """Per phase, the slots that are held at their values in the largest network."""
        names = [slot.name.rpartition(".")[2] for slot in self.coded.compiled.slots]
        opens = [self.order.index(name) if name in self.order else len(self.order) - 1 for name in names]
        return tuple(
            tuple(slot for slot, position in enumerate(opens) if position > phase) for phase in range(len(self.order))
        )

    def phase(self, moment: Moment) -> int:
        """-1 while the largest is trained alone, then the position in `order` of the dimension opened last."""
        opened = moment.after(self.full_share)
        if opened < 0:
            return -1
        left = moment.steps - round(self.full_share * moment.steps)
        return opened * len(self.order) // left

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The largest on the labels; drawn ones, in the dimensions open by now, on its answers."""
        phase = self.phase(moment)
        first = Lesson(Subnet(self.subnets.largest), labels=1.0)
        if phase < 0:
            return (first,)
        rng = moment.rng(self.seed)
        drawn = [self.sampler.draw(rng) for _ in range(self.random_subnets)]
        return (first, *(Lesson(self._within(subnet, phase), soft=1.0) for subnet in drawn))

    def _within(self, subnet: Subnet, phase: int) -> Subnet:
        closed = self.closed[phase]
        if not closed or subnet.row is None:
            return subnet
        return self.coded.subnet(self.coded.held(subnet.row, closed))

    def shrinks_at(self, steps: int) -> int | None:
        """When the last dimension opens."""
        last = len(self.order) - 1
        return next((step for step in range(1, steps) if self.phase(Moment(step, steps)) == last), None)

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Pass on to the sampler by how much drawn subnets lost more than the largest."""
        told(self.sampler, outcomes[1:], baseline=outcomes[0].loss)

    def state(self) -> State:
        """The sampler's."""
        return self.sampler.state()

    def restore(self, state: State) -> None:
        """The sampler's."""
        self.sampler.restore(state)
