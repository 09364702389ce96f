"""Reports: CSV tables, a self-contained HTML page, and the record of the run."""

from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.output import check_writable, write_report

__all__ = ["Gallery", "check_writable", "write_report"]
