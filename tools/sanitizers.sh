# SPDX-License-Identifier: Apache-2.0
# sanitizers.sh asan|tsan: what programs of that tree run under. Sourced; $reports is a folder.
#
# Reports of programs that the tests start are gathered in files too, so that a report in a process
# whose exit nobody looks at is seen. The thread sanitizer runs the memory engine
# (OAKUM_STORE=memory): RocksDB is not instrumented, and its threads would be reported for it.
# shellcheck shell=bash
[ "$1" != tsan ] || export OAKUM_STORE=memory
common="log_path=$reports/report:abort_on_error=0"
export ASAN_OPTIONS="$common:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
export UBSAN_OPTIONS="$common:print_stacktrace=1"
export TSAN_OPTIONS="$common:halt_on_error=1:second_deadlock_stack=1"
TSAN_OPTIONS+=":suppressions=$PWD/tools/tsan.supp"
