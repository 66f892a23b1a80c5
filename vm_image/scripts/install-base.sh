#!/bin/bash
# install-base.sh SNAPSHOT: pins every Ubuntu package to one moment of the archive, installs the
# system's part of the image, and turns off whatever would change it later or slow a boot down.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
snapshot=$1

# The builder and every VM see the archive as it was: kernel, driver and all else belong together.
cat >/etc/apt/sources.list.d/ubuntu.sources <<SOURCES
Types: deb
URIs: https://snapshot.ubuntu.com/ubuntu/$snapshot
Suites: noble noble-updates noble-security
Components: main restricted universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
SOURCES
rm -f /etc/apt/sources.list
# cloud-init would write the sources anew on the first boot.
echo 'apt: {preserve_sources_list: true}' >/etc/cloud/cloud.cfg.d/91-apt.cfg

# Its locks would be in the way, now and at every boot.
systemctl mask --now apt-daily.timer apt-daily-upgrade.timer apt-daily.service \
  apt-daily-upgrade.service unattended-upgrades.service motd-news.timer
apt-get purge -qy unattended-upgrades snapd

apt-get update -q
apt-get full-upgrade -qy
# What Python's wheels link to, what compiles the two extensions, and polkit for the switch.
apt-get install -qy --no-install-recommends \
  python3-venv python3-dev build-essential git \
  libgl1 libglib2.0-0t64 libx11-6 libgomp1 polkitd
apt-get autoremove -qy --purge
apt-get clean
