"""From a shell: ``python -m vae_notes diagnose arrays.npz`` and ``python -m vae_notes audit``.

Any language can write the arrays. The exit status is 0 where nothing grave was found, 1 where
something was or nothing can be judged, and 2 where the question was wrong.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_notes.audit import audit
from vae_notes.diagnosis import diagnose
from vae_notes.objective import Objective

__all__ = ["main"]

ARRAYS = ("x", "z_mean", "z_log_var", "decoded", "x_train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the shell, without the program's name.

    Returns
    -------
    int

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> main(["audit", "--reductions", "mean", "mean", "--data-dim", "784", "--latent-dim", "32"])
    ... # doctest: +ELLIPSIS
    dimensions ...
    0
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return int(given.run(given))
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vae_notes", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    words = "measure a trained VAE, from x, z_mean, z_log_var and decoded in an .npz file"
    doctor = commands.add_parser("diagnose", help=words, description=words)
    doctor.add_argument(
        "arrays",
        help="an .npz file: x (n, ...), z_mean and z_log_var (n, D), and for the ELBO decoded "
        "(n, ...), the decoder's output for one sample of z for each row; perhaps x_train",
    )
    doctor.add_argument("--html", metavar="FILE", help="write a page with pictures")
    doctor.set_defaults(run=_diagnose)
    words = "say what a loss assumes, before training"
    auditor = commands.add_parser("audit", help=words, description=words)
    auditor.add_argument("--data-dim", type=int, required=True, metavar="N")
    auditor.add_argument("--latent-dim", type=int, required=True, metavar="D")
    auditor.add_argument("--data", metavar="FILE", help="an .npy file of rows (n, ...)")
    auditor.set_defaults(run=_audit)
    for command in (doctor, auditor):
        command.add_argument("--json", action="store_true", help="print JSON instead of text")
        command.add_argument("--reductions", nargs=2, default=("sum", "sum"),
                             metavar=("ERRORS", "KL"), help="sum or mean, each")  # fmt: skip
        command.add_argument("--kl-weight", type=float, default=1.0, metavar="W")
        command.add_argument("--likelihood", default="gaussian", help="gaussian or bernoulli")
    return parser


def _objective(given: argparse.Namespace) -> Objective:
    errors, kl = given.reductions
    return Objective(errors, kl, given.kl_weight, given.likelihood)


def _diagnose(given: argparse.Namespace) -> bool:
    with np.load(given.arrays) as file:
        unknown = sorted(set(file.files) - set(ARRAYS))
        missing = [name for name in ARRAYS[:3] if name not in file.files]
        if missing or unknown:
            wrong = f"lacks {', '.join(missing)}" if missing else f"holds {', '.join(unknown)}"
            raise ValueError(
                f"{given.arrays} {wrong}: save x, z_mean and z_log_var in it, and decoded and "
                f"x_train if you have them."
            )
        arrays = {name: file[name] for name in file.files}
    report = diagnose(
        (arrays["z_mean"], arrays["z_log_var"]),
        arrays["x"],
        arrays.get("decoded"),
        _objective(given),
        x_train=arrays.get("x_train"),
    )
    print(report.to_json() if given.json else report)
    if given.html:
        report.to_html(given.html)
    return not report.healthy


def _audit(given: argparse.Namespace) -> bool:
    data: Any = None if given.data is None else np.load(given.data)
    found = audit(_objective(given), given.data_dim, given.latent_dim, data)
    print(json.dumps(found.to_dict(), indent=2) if given.json else found)
    return bool(found.collapses)


if __name__ == "__main__":
    sys.exit(main())
