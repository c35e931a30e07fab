#!/bin/sh
# What the tests need beside Python packages, installed where a machine is made for one run: CI=true,
# root, Debian. Elsewhere the tests that need it are skipped and say what to install.
set -eu
[ "${CI:-}" = true ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0

packages=
need() { command -v "$1" >/dev/null || packages="$packages $2"; } # PROGRAM PACKAGES
need chromium chromium
need java openjdk-17-jre-headless

[ -n "$packages" ] || exit 0
echo "installing$packages ..."
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
