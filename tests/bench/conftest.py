"""For the benches: the log stays silent below warnings, so that the table can be read."""

import logging

import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
