"""ministack with a line in the file `sys.argv[1]` for each request: method, path and status."""

import sys

from hypercorn.config import Config

Config.accesslog = sys.argv[1]
Config.access_log_format = "%(m)s %(U)s %(s)s"
sys.argv = ["ministack"]

from ministack.app import main

main()
