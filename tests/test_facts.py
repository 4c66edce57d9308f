"""The known facts of export controls, on the calibrated world, over paired seeds with intervals.

Nobody acts together here: what is tested are markets, buyers and firms. China bans exports of
gallium and of both magnet rare earths to the six for three years; the Congo halves its exports of
mined cobalt over the same years. Every seed is a world of its own, with parameters drawn within
their ranges.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from conftest import SIX, bloc_price, export_ban, quiet_config, run, without_instruments
from scipy import stats

from abm.config import Circle, Config, Control, Instrument, Stage
from abm.posterior import drawn_config
from abm.recorder import Record
from abm.tables import Tables
from abm.world import World, build_world

MINERALS = ("gallium", "rare_earths_light", "rare_earths_heavy", "cobalt")
BANNED = MINERALS[:3]
SEEDS = range(12)
START, END = 12, 48  # months of the controls, 2026-01 to 2029-01
FIRST_QUARTER = slice(START, START + 3)
FIRST_YEAR, LAST_YEAR = slice(START, START + 12), slice(END - 12, END)


@dataclass
class Pair:
    """One seed: the same world left alone and under the controls, with and without hoarding."""

    world: World
    calm: Record
    hit: Record
    calm_without_hoarding: Record
    hit_without_hoarding: Record

    def rise(self, mineral: str, hit: Record, calm: Record) -> np.ndarray:
        """[month] what the six pay for the refined product, over what they pay in calm."""
        market = (mineral, "refined")
        return bloc_price(hit, self.world, market, SIX) / bloc_price(calm, self.world, market, SIX)

    def sums(
        self, record: Record, measure: str, mineral: str, codes: tuple[str, ...]
    ) -> np.ndarray:
        """[month] a measure of the refined product, over some countries."""
        columns = [self.world.country(code) for code in codes]
        row = self.world.market(mineral, "refined")
        return record.measures[measure][:, row][:, columns].sum(axis=1)

    def home(self, mineral: str) -> np.ndarray:
        """[month] price at home in China, over that in calm."""
        place = (slice(None), self.world.market(mineral, "refined"), self.world.country("CHN"))
        name = "origin_price_usd_per_kg"
        return self.hit.measures[name][place] / self.calm.measures[name][place]

    def share_of_china(self, record: Record, mineral: str) -> np.ndarray:
        """[month] of the world's refined output."""
        made = self.sums(record, "output_t", mineral, ("CHN",))
        return made / self.sums(record, "output_t", mineral, self.world.countries)

    @property
    def others(self) -> tuple[str, ...]:
        """Everybody but China."""
        return tuple(code for code in self.world.countries if code != "CHN")


def facts_config(hoarding: bool, controlled: bool, seed: int) -> Config:
    """The settings of a seed, with its draw of the posterior."""
    config = without_instruments(quiet_config(years=8, minerals=MINERALS))
    config.membership.circles = {}
    config.randomness.active = True
    config.world.draw_parameters = True
    config.uncertainty.active = True
    if not hoarding:
        config.behaviour.hoarding = 0.0
        config.uncertainty.keep = ["behaviour.anticipation"]
    if controlled:
        dates = {"announced": "2026-01", "start": "2026-01", "end": "2029-01"}
        config.shock = export_ban(minerals=BANNED, **dates)
        quota = Control(instrument=Instrument.quota, by="COD", quota_share=0.5, **dates)
        quota.minerals, quota.stages, quota.targets = ["cobalt"], [Stage.mined], ["world"]
        config.controls = [quota]
    return drawn_config(config, seed)


@pytest.fixture(scope="module")
def pairs(real_tables: Tables) -> list[Pair]:
    found = []
    for seed in SEEDS:
        world = build_world(real_tables, facts_config(True, False, seed).world, seed)
        records = [
            run(facts_config(hoarding, hit, seed), world, shocked=hit, seed=seed)
            for hoarding in (True, False)
            for hit in (False, True)
        ]
        found.append(Pair(world, *records))
    return found


def family_quota(seed: int) -> Config:
    """The quota of 2010 again: half of China's rare-earth exports by weight, light and heavy."""
    config = facts_config(hoarding=True, controlled=False, seed=seed)
    dates = {"announced": "2026-01", "start": "2026-01", "end": "2029-01"}
    config.shock = Control(name="quota", instrument=Instrument.quota, quota_share=0.5, **dates)
    config.shock.family, config.shock.minerals = "rare_earths", []
    config.shock.stages, config.shock.targets = [Stage.refined], ["world"]
    return config


def test_a_quota_by_weight_raises_the_cheap_more_than_the_dear(real_tables: Tables) -> None:
    """Fact 3: one rent per kilogram weighs more on light rare earths than on heavy ones."""
    gaps = []
    for seed in SEEDS:
        world = build_world(real_tables, family_quota(seed).world, seed)
        calm, hit = (
            run(family_quota(seed), world, shocked=hit, seed=seed) for hit in (False, True)
        )
        light, heavy = (
            bloc_price(hit, world, (mineral, "refined"), SIX)[FIRST_YEAR].mean()
            / bloc_price(calm, world, (mineral, "refined"), SIX)[FIRST_YEAR].mean()
            for mineral in ("rare_earths_light", "rare_earths_heavy")
        )
        assert (
            world.world_price[world.market("rare_earths_heavy", "refined")]
            > 2.0 * (world.world_price[world.market("rare_earths_light", "refined")])
        )
        gaps.append(light - heavy)
    assert at_least(gaps) > 0.0


def test_a_targeted_ban_leaks_unless_it_is_traced(real_tables: Tables) -> None:
    """Fact 5: what reaches the six around the ban, with and without tracing."""
    shares = []
    for seed in SEEDS:
        leaks = []
        for traced in (False, True):
            config = facts_config(hoarding=True, controlled=True, seed=seed)
            config.membership.circles = {"washington": Circle(table="washington")}
            config.instruments.standards.active = traced
            world = build_world(real_tables, config.world, seed)
            record = run(config, world, "washington", shocked=True, seed=seed)
            row = world.market("gallium", "refined")
            leaks.append(np.nansum(record.measures["rerouted_t"][START:END, row]))
        assert leaks[0] > 0.0
        shares.append(leaks[1] / leaks[0])
    assert at_most(shares) < 0.9  # half is seen once standards are phased in, over two years


def at_least(values: list[float]) -> float:
    """Lower end of the one-sided 95 % t-interval of the mean over seeds."""
    mean, error = np.mean(values), stats.sem(values)
    return float(mean - stats.t.ppf(0.95, len(values) - 1) * error)


def at_most(values: list[float]) -> float:
    """Upper end of the one-sided 95 % t-interval of the mean over seeds."""
    return -at_least([-value for value in values])


@pytest.mark.parametrize("mineral", BANNED)
def test_abroad_the_price_rises_far_more_than_at_home(pairs: list[Pair], mineral: str) -> None:
    """Fact 1; in 2023-25 the home price of gallium stayed flat or fell."""
    years = slice(START, END)
    abroad = [pair.rise(mineral, pair.hit, pair.calm)[years].mean() for pair in pairs]
    at_home = [pair.home(mineral)[years].mean() for pair in pairs]
    assert at_least(abroad) > 1.3
    assert at_most(at_home) < 1.0
    assert at_least([a / h for a, h in zip(abroad, at_home, strict=True)]) > 1.4


@pytest.mark.parametrize("mineral", ["gallium", "rare_earths_light"])
def test_the_jump_outruns_the_lost_volume(pairs: list[Pair], mineral: str) -> None:
    """Fact 2: the same loss of supply raises the price more in its first year if buyers hoard."""
    extra = [
        pair.rise(mineral, pair.hit, pair.calm)[FIRST_YEAR].mean()
        - pair.rise(mineral, pair.hit_without_hoarding, pair.calm_without_hoarding)[
            FIRST_YEAR
        ].mean()
        for pair in pairs
    ]
    assert at_least(extra) > 0.05


@pytest.mark.parametrize("mineral", BANNED)
def test_prices_fall_back_within_three_years_of_the_end(pairs: list[Pair], mineral: str) -> None:
    """Fact 2; for light rare earths, where the rest of the world builds, to below the start."""
    after = [pair.rise(mineral, pair.hit, pair.calm)[END + 12 : END + 36].mean() for pair in pairs]
    assert at_most(after) < 1.25
    if mineral == "rare_earths_light":
        soon = [pair.rise(mineral, pair.hit, pair.calm)[END : END + 24].mean() for pair in pairs]
        assert at_most(soon) < 1.0


def test_an_upstream_limit_raises_the_intermediate_more_than_the_metal(pairs: list[Pair]) -> None:
    """Fact 4, in the first year: stocks of feed and of metal lie in between."""
    gaps = []
    for pair in pairs:
        buyers = [code for code in pair.world.countries if code != "COD"]
        rises = [
            bloc_price(pair.hit, pair.world, ("cobalt", stage), buyers)[FIRST_YEAR].mean()
            / bloc_price(pair.calm, pair.world, ("cobalt", stage), buyers)[FIRST_YEAR].mean()
            for stage in ("mined", "refined")
        ]
        gaps.append(rises[0] - rises[1])
    assert at_least(gaps) > 0.1


@pytest.mark.parametrize("mineral", BANNED)
def test_new_plants_take_years(pairs: list[Pair], mineral: str) -> None:
    """Fact 6: at once users save and draw down and others ship; plants come later."""
    early, late, saved = [], [], []
    for pair in pairs:
        made, usual = (
            pair.sums(record, "output_t", mineral, pair.others) for record in (pair.hit, pair.calm)
        )
        early.append((made / usual)[FIRST_QUARTER].mean() - 1.0)
        late.append((made / usual)[LAST_YEAR].mean() - 1.0)
        used, normal = (
            pair.sums(record, "use_t", mineral, SIX) for record in (pair.hit, pair.calm)
        )
        saved.append((used / normal)[FIRST_YEAR].mean())
    assert at_most(saved) < 1.0
    assert at_least([b - a for a, b in zip(early, late, strict=True)]) > 0.0


@pytest.mark.parametrize("mineral", ["rare_earths_light", "rare_earths_heavy"])
def test_leverage_used_costs_share_in_the_long_run(pairs: list[Pair], mineral: str) -> None:
    """Fact 7, two years and more after the end, where others can build within the horizon."""
    lost = [
        pair.share_of_china(pair.calm, mineral)[END + 24 :].mean()
        - pair.share_of_china(pair.hit, mineral)[END + 24 :].mean()
        for pair in pairs
    ]
    assert at_least(lost) > 0.005
