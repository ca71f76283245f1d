"""The mathematics: numbers in, values out. No input or output, no clock, no environment.

Percentages are in per cent (5.0 is 5 %) and named `_pct`; an ordinary "no" is a
`whalestack.math.refusals.Refusal`, never an exception. A `ValueError` means that the
caller passed something that is not a market at all.
"""
