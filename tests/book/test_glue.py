"""`claims.glue` leaves in a notebook what MyST-NB reads there."""

import nbformat
import pytest
from myst_nb.core.variables import format_plain_text
from myst_nb.ext.glue import extract_glue_data_cell
from nbclient import NotebookClient

GLUED = {
    "text": "'4.72'",
    "quoted": "\"the 'mean' of σ²\"",
    "count": "3",
    "ratio": "0.1",
    "large": "123456789.125",
    "yes": "True",
}


@pytest.fixture(scope="module")
def cells():
    """Outputs of a notebook that glues with us, with MyST-NB, and with NumPy scalars."""
    ours = "\n".join(f"claims.glue({name!r}, {value})" for name, value in GLUED.items())
    theirs = "\n".join(
        f"myst_nb.glue({name!r}, {value}, display=False)" for name, value in GLUED.items()
    )
    sources = [
        "import myst_nb, numpy as np\nfrom vae_notes import claims",
        ours,
        theirs,
        "claims.glue('double', np.float64(0.126))\nclaims.glue('whole', np.int32(8))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(of) for of in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_glue_leaves_what_myst_nb_leaves(cells):
    assert len(cells[1]) == len(GLUED)
    assert cells[1] == cells[2]


def test_glued_numpy_scalars_can_be_formatted(cells):
    glued = dict(extract_glue_data_cell(nbformat.v4.new_code_cell(outputs=cells[3])))
    shown = {name: of["data"]["text/plain"] for name, of in glued.items()}
    assert shown == {"double": "0.126", "whole": "8"}
    assert format_plain_text(shown["double"], ".2f") == "0.13"
    assert format_plain_text(shown["whole"], "s") == "8"
