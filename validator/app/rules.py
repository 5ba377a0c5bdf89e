"""The rules by number: what each decides, by which parameters, and by which reason codes.

Decides nothing: the register that documentation, tests and people go by. S is signature, T time, L
location, C capacity, W the carrier, Z the zone seal. Codes are those of `wire.results.REASONS`,
parameters those of `validator.app.parameters`.
"""

from typing import NamedTuple

from validator.app.parameters import Parameters


class Rule(NamedTuple):
    """One rule."""

    number: str
    """Its letter and number; never given to another rule."""

    decides: str
    """What it demands, in one sentence."""

    module: str
    """Module of `validator.app` that decides it."""

    codes: tuple[int, ...] = ()
    """Reason codes that it gives."""

    parameters: tuple[str, ...] = ()
    """Parameters that it goes by; the unit is in the name."""


RULES = (
    Rule("S1", "a reading is the deterministic bytes of a signed reading", "admission", (10,)),
    Rule("S2", "its meter is registered, and was for its interval", "admission", (11, 16)),
    Rule("S3", "a meter with a key signs for itself, another's reader does", "admission", (12,)),
    Rule("S4", "the key is the registered one of then, and not compromised", "admission", (13, 17)),
    Rule("S5", "the signature is strictly that key's", "admission", (14,)),
    Rule("S6", "one content under one sequence; a repeat is harmless", "admission", (1, 15)),
    Rule("S7", "commissioning record and software are registered ones", "admission", (31, 32)),
    Rule(
        "T1",
        "the interval is aligned and as long as registered",
        "admission",
        (20,),
        ("interval_s",),
    ),
    Rule(
        "T2", "it had ended when the gateway saw it", "admission", (21,), ("witness_tolerance_s",)
    ),
    Rule("T3", "a reader numbers by interval", "admission", (22,)),
    Rule("T4", "registers and advances fit those of its neighbours", "neighbours", (23, 24)),
    Rule("T5", "intervals and boots ascend with sequence", "neighbours", (25,)),
    Rule(
        "T6",
        "operating seconds advance with intervals, and may only lag across boots",
        "neighbours",
        (26,),
        ("operating_tolerance_s", "operating_drift_ppm"),
    ),
    Rule("T7", "it carries the hash of what was signed before it", "neighbours", (27,)),
    Rule(
        "T8",
        "what comes after the acceptance window is late, and only a case settles it",
        "admission",
        (2,),
        ("acceptance_window_s",),
    ),
    Rule("L1", "its grid node is the registered one", "admission", (30,)),
    Rule("L2", "the gateway serves the meter's zone", "admission", (33,)),
    Rule("L3", "a line reaches from gateway to meter", "admission", (34,), ("reach_m",)),
    Rule(
        "L4", "a meter with a receiver is at its site", "admission", (35,), ("position_max_age_s",)
    ),
    Rule("C1", "import is within the service rating", "admission", (40,)),
    Rule("C2", "export is within installed power", "admission", (41,), ("installed_margin_ppm",)),
    Rule("C3", "nothing exports without a registered source", "admission", (42,)),
    Rule("C4", "reactive energy is within the service rating", "admission", (43,)),
    Rule("W1", "a registered gateway witnessed", "carrier", (50,)),
    Rule("W2", "by its key of then, which nobody calls compromised", "carrier", (51, 59)),
    Rule("W3", "the witness signature stands", "carrier", (52,)),
    Rule("W4", "for this network", "carrier", (53,)),
    Rule("W5", "fresh and at its site", "carrier", (54, 55, 56), ("position_max_age_s",)),
    Rule("W6", "one batch under one batch sequence", "application", (57,)),
    Rule("W7", "its time is not ahead of the block's", "execution", (58,), ("witness_ahead_ms",)),
    Rule("Z1", "what may be lost on the way", "losses", (), ("a0_ppm", "a1_ppm")),
    Rule(
        "Z2",
        "how far honest meters may disagree, and what is beyond it",
        "zone_seal",
        (),
        ("class_k_num", "class_k_den", "common_ppm"),
    ),
    Rule("Z3", "which reading of a meter counts", "windows", (), ("skew_missing_s",)),
    Rule("Z4", "when a window is sealed", "sealing", (), ("deadline_intervals",)),
    Rule(
        "Z5",
        "a gap is sealed once over registers",
        "sealing",
        (),
        ("bridge_wait_s", "bridge_intervals"),
    ),
    Rule("Z6", "energy is credited once, and never taken back", "settlement"),
    Rule("Z7", "a branch carries what it is built for", "losses"),
    Rule("Z8", "nobody who is credited holds the reference alone", "ownership", (76,)),
    Rule(
        "Z9",
        "what does not settle is a case, which the operator resolves",
        "resolving",
        (100, 101, 102),
        ("acceptance_window_s",),
    ),
)
"""Every rule, in order of number."""


def effective(parameters: Parameters, rule: Rule) -> dict[str, int]:
    """A rule's parameters as they are in force."""
    values = parameters.items()
    return {name: values[name] for name in rule.parameters}
