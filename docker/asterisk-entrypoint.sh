#!/bin/sh
# Takes the lab's configuration out of its volume (readable by root only) and runs Asterisk without root.
set -eu
cp -R /lab/etc-asterisk/. /etc/asterisk/
mkdir -p /var/lib/asterisk/tones
cp -R /lab/tones/. /var/lib/asterisk/tones/
chown -R asterisk:asterisk /etc/asterisk /var/lib/asterisk/tones
exec asterisk -f -q -U asterisk -G asterisk -C /etc/asterisk/asterisk.conf
