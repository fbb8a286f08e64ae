"""What can be done to the connections between programs and servers."""

from ropewalk_deploy.chaos.battle import Battle, Server
from ropewalk_deploy.chaos.proxy import Proxy, Weather, amid_commit_answer, amid_copy, anywhere
from ropewalk_deploy.chaos.strikes import Strike

SLOW_S, SLOW_BYTES = 0.05, 200_000
MOST_CUTS = 6
CUT_WITHIN_S = 20.0


def slow(server: Server) -> Strike:
    """Every answer and every request takes its time, and large ones more."""

    def strike(battle: Battle) -> None:
        proxy = battle.proxies[server]
        before = proxy.passed
        proxy.weather = Weather(delay_s=SLOW_S, bytes_per_s=SLOW_BYTES)
        battle.pause(8.0, 12.0)
        proxy.weather = Weather()
        if proxy.passed == before:
            battle.notes.append(f"nothing went to {server} while it was slow")

    return strike


def cut(server: Server) -> Strike:
    """Connections are cut in the middle of requests and answers, for some seconds."""

    def strike(battle: Battle) -> None:
        proxy = battle.proxies[server]
        proxy.weather = Weather(cut_at=anywhere(battle.rng))
        battle.pause(6.0, 9.0)
        _mend(battle, proxy)

    return strike


def cut_copy(battle: Battle) -> None:
    """The connection to Postgres is cut in the middle of COPY, some times."""
    proxy = battle.proxies["postgres"]
    proxy.weather = Weather(cut_at=amid_copy(battle.rng))
    battle.until(lambda: proxy.cuts >= MOST_CUTS, CUT_WITHIN_S)
    _mend(battle, proxy)


def cut_commit_answers(battle: Battle) -> None:
    """Postgres has done what it was asked to, and the program never hears of it; some times."""
    proxy = battle.proxies["postgres"]
    proxy.weather = Weather(cut_at=amid_commit_answer(battle.rng))
    battle.until(lambda: proxy.cuts >= MOST_CUTS, CUT_WITHIN_S)
    _mend(battle, proxy)


def _mend(battle: Battle, proxy: Proxy) -> None:
    proxy.weather = Weather()
    if not proxy.cuts:
        battle.notes.append("no connection was cut")
