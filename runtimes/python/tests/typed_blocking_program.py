"""A program of the blocking API, for type checkers."""

import tce
from golden_blocking.test import ITerminal, ITerminalPrx, Server, ServerPrx


class ServerImpl(Server):
    def echo(self, text: str, ctx: tce.Context) -> str:
        return text + ctx.msg.extra.props.get("name", "")

    def bidirection(self, ctx: tce.Context) -> None:
        name = tce.Shortcuts.MQ_RETURN(ctx)
        conn = tce.RpcCommunicator.instance().getConnectionMQCollection().get(name)
        user = tce.Shortcuts.CALL_USER_ID(tce.Shortcuts.USER_ID(ctx))
        ITerminalPrx(conn).onMessage_oneway("pushed", user)


class TerminalImpl(ITerminal):
    def onMessage(self, message: str, ctx: tce.Context) -> None:
        print(message)


def called(result: str, proxy: ServerPrx, cookie: object) -> None:
    print(result.upper(), proxy, cookie)


def failed(error: tce.RpcError, proxy: ServerPrx, cookie: object) -> None:
    print(error.what(), proxy, cookie)


def main() -> None:
    tce.RpcCommunicator.instance().init("server").initMQEndpoints("config.yml")
    tce.RpcAdapterMQ.create("adapter", "mq_server").addServant(ServerImpl()).start()
    server = ServerPrx.create(tce.RpcEndPoint(host="localhost", port=12002))
    adapter = tce.RpcCommAdapter("terminal")
    adapter.addConnection(server.conn).addServant(TerminalImpl())
    tce.RpcCommunicator.instance().addAdapter(adapter)
    text: str = server.echo("hello", 3, extra={"name": "scott.bo"})
    server.echo_async(text, called, "cookie", on_error=failed)
    server.heartbeat_oneway("hello world!")
    tce.RpcCommunicator.instance().waitForShutdown()


main()
