"""What a person looks at: figures, tables, and HTML pages that need no other file."""

from indi.report.comparison import comparison_rows, write_comparison
from indi.report.evaluation import draw_curve, write_report
from indi.report.page import Strip
from indi.report.tables import means_explained, metric_text, row_label, steps_label, table_rows
from indi.report.toy import ToyPanel, draw_toy_animation, draw_toy_figure, toy_rows

__all__ = [
    "Strip",
    "ToyPanel",
    "comparison_rows",
    "draw_curve",
    "draw_toy_animation",
    "draw_toy_figure",
    "means_explained",
    "metric_text",
    "row_label",
    "steps_label",
    "table_rows",
    "toy_rows",
    "write_comparison",
    "write_report",
]
