# Asterisk of Debian, with nothing configured: the lab's files come in a volume (see compose.yaml).
FROM debian:forky-slim

RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends asterisk \
 && rm -rf /var/lib/apt/lists/* /etc/asterisk/* \
 && mkdir -p /run/asterisk /var/log/asterisk /var/spool/asterisk/outgoing /var/spool/asterisk/tmp \
 && chown -R asterisk:asterisk /run/asterisk /var/log/asterisk /var/spool/asterisk /var/lib/asterisk /etc/asterisk

COPY docker/asterisk-entrypoint.sh /usr/local/bin/asterisk-entrypoint
ENTRYPOINT ["/bin/sh", "/usr/local/bin/asterisk-entrypoint"]

# Fully booted, not only started: the console answers from then on.
HEALTHCHECK --interval=1s --timeout=10s --retries=60 \
  CMD asterisk -rx "core waitfullybooted" | grep -q "fully booted"
