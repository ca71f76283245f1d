"""Kill, restart and lie to a whole running system a thousand times, and count what it cost.

    python benchmarks/faults.py --faults 1000 --seed 1

Each run starts PostgreSQL, Redis, the simulator, beat, the streams and every worker, keeps some
twenty coins trading all the time, and lets faults rain: kill -9 of every process at random
moments and at chosen points of an order's life, stores restarted and killed, two beats, a clock
that jumps, refusals, lost answers, and a private stream that repeats, swaps, loses or falls
silent. When the faults are over the system comes to rest, and then the simulator's own record is
compared with the database, row by row. The last line is JSON; the exit code is 1 if anything
that must be zero is not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fault_runs.judgement import HARMS
from fault_runs.recovery import spread
from fault_runs.run import RunPlan, RunResult, run_once, say

from whalestack.logs import configure_logging

FAULTS_A_RUN = 250


def main(argv: list[str] | None = None) -> int:
    """Run, print the line, and say by the exit code whether it was harmless."""
    options = _parse(argv)
    configure_logging("CRITICAL")  # what the supervisor sees dying is what was killed
    run_dir = options.run_dir.resolve()
    shutil.rmtree(run_dir / "logs", ignore_errors=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    results = []
    for plan in plans(options):
        result = run_once(plan, run_dir)
        results.append(result)
        say(json.dumps(_one(result)))
        for name, cases in result.judgement.details.items():
            say(f"  {name}: {cases}")
        if options.keep_logs:
            shutil.copytree(run_dir / "logs", run_dir / f"logs-{plan.seed}", dirs_exist_ok=True)
        shutil.rmtree(run_dir / "logs", ignore_errors=True)
    line = summary(results, options)
    print(json.dumps(line), flush=True)
    return 1 if line["harm"] else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=1000, help="how many, over all runs")
    parser.add_argument("--seed", type=int, default=1, help="of markets, loads and faults")
    parser.add_argument("--faults-a-run", type=int, default=FAULTS_A_RUN, help="then a fresh system is made")
    parser.add_argument("--coins", type=int, default=24, help="how many are traded")
    parser.add_argument("--signals-per-s", type=float, default=0.6, help="load, real seconds")
    parser.add_argument("--pause-s", type=float, default=1.0, help="between faults, on average")
    parser.add_argument("--process-share", type=float, default=0.3, help="of the faults, 0 to 1")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/faults"), help="for data and logs")
    parser.add_argument("--keep-logs", action="store_true", help="keep each run's process logs")
    return parser.parse_args(argv)


def plans(options: argparse.Namespace) -> list[RunPlan]:
    """The runs: as many faults in each as may be, seeds one after the other."""
    found, left, number = [], options.faults, 0
    while left > 0:
        count = min(left, options.faults_a_run)
        found.append(
            RunPlan(
                seed=options.seed * 100 + number,
                faults=count,
                coins=options.coins,
                signals_per_s=options.signals_per_s,
                pause_s=options.pause_s,
                process_share=options.process_share,
            )
        )
        left, number = left - count, number + 1
    return found


def summary(results: list[RunResult], options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is counted, summed over the runs."""
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for result in results:
        counts.update(result.judgement.counts)
        kinds.update(result.struck)
    harm = {name: counts[name] for name in HARMS if counts[name]}
    rest = {name: value for name, value in sorted(counts.items()) if name not in HARMS}
    took = [seconds for result in results for _, seconds in result.recoveries]
    return {
        "benchmark": "faults",
        "seed": options.seed,
        "runs": len(results),
        "elapsed_s": round(sum(result.elapsed_s for result in results), 1),
        "faults": kinds.total(),
        "faults_by_kind": dict(sorted(kinds.items())),
        **{name: round(counts[name], 3) for name in HARMS},
        **rest,
        "recovery_s": spread(took),
        "recovery_s_by_kind": _by_kind(results),
        "came_to_rest": all(result.came_to_rest for result in results),
        "harm": harm,
    }


def _one(result: RunResult) -> dict[str, Any]:
    return {
        "seed": result.plan.seed,
        "elapsed_s": round(result.elapsed_s, 1),
        "faults": result.struck.total(),
        "counts": dict(result.judgement.counts),
        "recovery_s": spread([seconds for _, seconds in result.recoveries]),
        "came_to_rest": result.came_to_rest,
        **result.notes,
    }


def _by_kind(results: list[RunResult]) -> dict[str, dict[str, float]]:
    by_kind: dict[str, list[float]] = {}
    for result in results:
        for kind, seconds in result.recoveries:
            by_kind.setdefault(kind, []).append(seconds)
    return {kind: spread(seconds) for kind, seconds in sorted(by_kind.items())}


if __name__ == "__main__":
    sys.exit(main())
