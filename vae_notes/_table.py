"""How a report shows itself in a notebook."""

import html

LEFT = "text-align:left"


def page(rows, sentence):
    """Return HTML: a table of pairs (name, value), and under it what they amount to."""
    body = "".join(
        f'<tr><th scope="row" style="{LEFT};padding-right:1em">{html.escape(name)}</th>'
        f'<td style="{LEFT}">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    below = f'<p style="margin-top:0.8em">{html.escape(sentence)}</p>'
    return f"<table><tbody>{body}</tbody></table>{below}"
