#!/bin/sh
# A Docker engine where none answers (a bare CI machine without a registry): installed by apt, run by hand, removed by `stop`.
#   engine.sh start   start the engine, get compose and buildx, seed the base images; no-op where an engine answers
#   engine.sh env     print the variables for `eval`: how the engine that `start` started is reached
#   engine.sh stop    stop it and remove its data; an engine that we didn't start is left alone
# Everything of ours is in one cache folder. The host's Docker settings are not touched. Needs root and Debian.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$(dirname -- "$here")")
python=${PYTHON:-$tree/.venv/bin/python}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/harmony-connector/engine
socket=$cache/docker.sock
suite=forky

say() { printf '%s\n' "== $*" >&2; }
die() { say "$*"; exit 1; }

answers() { docker version >/dev/null 2>&1; }
ours() { [ -S "$socket" ] && [ -f "$cache/dockerd.pid" ]; }
use_ours() { export DOCKER_HOST="unix://$socket" DOCKER_CONFIG="$cache/config" PATH="$cache/bin:$PATH"; }

# The host's own archive of Debian and its keyring, as the native laboratory finds them.
mirror() {
    "$python" -c 'from connector.lab.apt import find_mirror; m = find_mirror(); print(m.uri, m.keyring or "")'
}

install_engine() {
    command -v dockerd >/dev/null && return
    say "installing docker.io"
    export DEBIAN_FRONTEND=noninteractive
    # The package would start a service of its own and join it to the boot; we run the daemon by hand.
    divert=/usr/sbin/policy-rc.d
    [ -e "$divert" ] || { printf '#!/bin/sh\nexit 101\n' >"$divert"; chmod 755 "$divert"; made=1; }
    apt-get update -qq -o Acquire::Check-Valid-Until=false >/dev/null 2>&1 || true
    apt-get install -y -qq --no-install-recommends docker.io >"$cache/apt.log" 2>&1 || failed=1
    [ "${made:-}" ] && rm -f "$divert"
    [ "${failed:-}" ] && die "docker.io can't be installed: $(tail -n 1 "$cache/apt.log")"
    return 0
}

# Compose v2 and buildx are not in every Debian: the ones of $suite are static binaries.
fetch_plugins() {
    plugins=$cache/config/cli-plugins
    mkdir -p "$plugins"
    [ -x "$plugins/docker-compose" ] && [ -x "$plugins/docker-buildx" ] && return
    say "fetching docker compose and buildx of Debian $suite"
    read -r uri keyring <<EOT
$(mirror)
EOT
    apt=$cache/apt
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/debs"
    printf 'deb [%s] %s %s main\n' "${keyring:+signed-by=$keyring}" "$uri" "$suite" | sed 's/\[\] //' >"$apt/sources.list"
    set -- -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists" \
        -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" -o Acquire::Check-Valid-Until=false \
        -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=0
    apt-get "$@" update || die "the index of Debian $suite can't be read"
    (cd "$apt/debs" && apt-get "$@" download docker-compose docker-buildx) || die "compose can't be fetched"
    for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$apt/unpacked"; done
    for tool in docker-compose docker-buildx; do
        file=$(find "$apt/unpacked" -type f -name "$tool" -perm -u+x | head -n 1)
        [ "$file" ] || die "the package of $tool holds no program of that name"
        cp "$file" "$plugins/$tool"
    done
    rm -rf "$apt"
}

start_engine() {
    ours && kill -0 "$(cat "$cache/dockerd.pid")" 2>/dev/null && return
    say "starting dockerd"
    rm -f "$cache/dockerd.pid" "$socket"
    # No bridge and no packet filter: the lab uses the host's network, and the host's own rules stay as they are.
    dockerd --host "unix://$socket" --data-root "$cache/data" --exec-root "$cache/exec" --pidfile "$cache/dockerd.pid" \
        --storage-driver overlay2 --bridge none --iptables=false --ip-forward=false --ip-masq=false \
        >"$cache/dockerd.log" 2>&1 </dev/null &
    pid=$!
    tries=0
    until DOCKER_HOST="unix://$socket" docker version >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || die "dockerd ended: $(tail -n 1 "$cache/dockerd.log")"
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "dockerd doesn't answer; its log is $cache/dockerd.log"
        sleep 0.1
    done
}

seed_images() {
    read -r uri keyring <<EOT
$(mirror)
EOT
    if ! docker image inspect "debian:$suite-slim" >/dev/null 2>&1; then
        say "seeding debian:$suite-slim by debootstrap (a minute)"
        command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
        rm -rf "$cache/base"
        debootstrap --variant=minbase ${keyring:+--keyring="$keyring"} "$suite" "$cache/base" "$uri" \
            /usr/share/debootstrap/scripts/sid >"$cache/debootstrap.log" 2>&1 ||
            die "debootstrap failed; its log is $cache/debootstrap.log"
        # The host's archive may be an old snapshot; whoever seeds from it has accepted that.
        echo 'Acquire::Check-Valid-Until "false";' >"$cache/base/etc/apt/apt.conf.d/99-snapshot"
        rm -rf "$cache/base/var/cache/apt/archives" "$cache/base/usr/share/doc" "$cache/base/usr/share/man"
        tar -C "$cache/base" --numeric-owner --exclude=./dev --exclude=./proc --exclude=./sys -c . |
            docker import --change 'CMD ["bash"]' - "debian:$suite-slim" >/dev/null
        rm -rf "$cache/base"
    fi
}

# Packages of Python for the connector's image, from where this machine's pip gets its own.
make_wheelhouse() {
    wheels=$tree/docker/wheels
    version=$(docker run --rm --network host "debian:$suite-slim" sh -c \
        'apt-get update -qq && apt-cache depends python3 | sed -n "s/.*Depends: python3\.\([0-9]*\).*/3.\1/p" | head -n 1')
    [ "$version" ] || die "the version of Python in debian:$suite-slim is unknown"
    say "collecting wheels for Python $version"
    rm -rf "$wheels"
    mkdir -p "$wheels"
    sed -e 's/ *\\$//' -e '/^ *--hash/d' "$tree/requirements.lock" >"$cache/constraints.txt"
    "$python" -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print("\n".join([*p["build-system"]["requires"], *p["project"]["dependencies"], *p["project"]["optional-dependencies"]["desktop"]]))' >"$cache/wanted.txt"
    "$python" -m pip download -qq --disable-pip-version-check --dest "$wheels" --python-version "$version" --only-binary :all: \
        --constraint "$cache/constraints.txt" --requirement "$cache/wanted.txt" || die "wheels for Python $version can't be collected"
}

case ${1:-} in
start)
    if ! ours && answers && docker compose version >/dev/null 2>&1; then
        say "an engine answers: nothing to install"
        exit 0
    fi
    [ "$(id -u)" = 0 ] || die "no engine answers, and starting one needs root"
    command -v apt-get >/dev/null || die "no engine answers, and this machine has no apt to install one"
    mkdir -p "$cache"
    cd "$tree"
    install_engine
    fetch_plugins
    use_ours
    start_engine
    seed_images
    make_wheelhouse
    say "ready: eval \"\$($0 env)\""
    ;;
env)
    if ours; then
        # bake, to which compose hands builds over, asks a person whether a build may use the host's network.
        printf 'export DOCKER_HOST=%s DOCKER_CONFIG=%s LAB_COMPOSE_OVERRIDE=%s COMPOSE_BAKE=false\n' \
            "'unix://$socket'" "'$cache/config'" "'$here/compose.seeded.yaml'"
    fi
    ;;
stop)
    ours || exit 0
    use_ours
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
    pid=$(cat "$cache/dockerd.pid")
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        kill "$pid"
        tail --pid="$pid" -f /dev/null
    fi
    # What the daemon leaves mounted, innermost first.
    awk -v under="$cache/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r point; do
        umount "$point"
    done
    rm -rf "$cache" "$tree/docker/wheels"
    ;;
*)
    sed -n '2,6p' "$0" >&2
    exit 2
    ;;
esac
