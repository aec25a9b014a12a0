"""Plans and programs: what devices ask of their machine, as columns, without any notion of when."""

from hwsim.plan.options import Options
from hwsim.plan.pipeline import Cause, Component, Pipeline, Resource, SlotPool, Stage, Wait
from hwsim.plan.program import Plan, Program, Within, join_plans

__all__ = [
    "Cause",
    "Component",
    "Options",
    "Pipeline",
    "Plan",
    "Program",
    "Resource",
    "SlotPool",
    "Stage",
    "Wait",
    "Within",
    "join_plans",
]
