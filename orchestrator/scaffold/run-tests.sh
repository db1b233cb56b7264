#!/bin/sh
# The automated tests of an environment, run after each deployment of its branch: tests/run.sh BRANCH
# Put yours here: they look at the application from outside, as its users do, and exit with 1 when it is wrong.
set -eu
echo "no automated tests of ${1:?name the branch} yet; write them into tests/run.sh"
