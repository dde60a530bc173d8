# Stands in for the official image rabbitmq:4 where it can't be pulled: same paths, same user, same entry point.
FROM debian:forky-slim
RUN apt-get update \
 && printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server \
 && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
# As in the official image: the tools on the path run as they are, and root steps down to the broker's user.
RUN printf '%s\n' '#!/bin/sh' 'set -eu' \
    'exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups env HOME=/var/lib/rabbitmq "$@"' \
    > /usr/local/bin/docker-entrypoint.sh \
 && chmod 755 /usr/local/bin/docker-entrypoint.sh \
 && ln -sf /usr/lib/rabbitmq/bin/rabbitmq-server /usr/local/bin/rabbitmq-server
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
