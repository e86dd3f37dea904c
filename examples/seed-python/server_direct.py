"""The server without a broker: the gateway of services-direct.xml connects to its socket."""

import sys

import tce
from server import ServerImpl
from test import *


class DirectServerImpl(ServerImpl):
	def bidirection(self,ctx):
		# The gateway is the caller, and forwards the call to its user.
		clientprx = ITerminalPrx(ctx.connection)
		clientprx.onMessage_oneway('server push message!',tce.Shortcuts.CALL_USER_ID(tce.Shortcuts.USER_ID(ctx)))


def main():
	tce.RpcCommunicator.instance().init('server')
	port = int(sys.argv[1]) if len(sys.argv) > 1 else 12003
	adapter = tce.RpcCommAdapter.create('adapter',tce.RpcEndPoint(host='localhost',port=port))
	adapter.addServant(DirectServerImpl()).start()
	print('server of', adapter.endpoint, flush=True)
	tce.RpcCommunicator.instance().waitForShutdown()


if __name__ == '__main__':
	main()
