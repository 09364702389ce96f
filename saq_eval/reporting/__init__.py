"""Reports: CSV tables, an HTML page in a single file, and the record of the run."""

from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.output import check_writable, read_run, write_report
from saq_eval.reporting.page.render import render

__all__ = ["Gallery", "check_writable", "read_run", "render", "write_report"]
