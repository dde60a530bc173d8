# Stands in for the official image rabbitmq:4 where it can't be pulled: same paths, same user, same entry point.
FROM debian:forky-slim
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server \
 && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
# Debian's own wrappers in /usr/sbin insist on a user; behind them are the broker's scripts.
ENV PATH=/usr/lib/rabbitmq/bin:$PATH HOME=/var/lib/rabbitmq
# As in the official image, root steps down to the broker's user.
RUN printf '%s\n' '#!/bin/sh' 'exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups "$@"' \
    > /usr/local/bin/docker-entrypoint.sh \
 && chmod 755 /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
