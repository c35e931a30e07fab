"""What a given number of pins and pairs takes: the arithmetic of ``pintext plan``.

============  ========================================================
``measured``  constants, from ``benchmarks/scale.py``
``plan``      the settings, and stages made of them
============  ========================================================
"""

from pintext.scale.plan import PlanConfig, Stage, figure, plan

__all__ = ["PlanConfig", "Stage", "figure", "plan"]
