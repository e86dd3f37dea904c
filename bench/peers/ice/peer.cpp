// The ZeroC Ice peer: `peer server`, and
// `peer client PROXY ROUTER CONNECTIONS IN_FLIGHT PAYLOAD WARM_UP MEASURED`.
// All settings are Ice's defaults.

#include <cstdio>
#include <deque>
#include <iostream>
#include <thread>

#include <Glacier2/Glacier2.h>
#include <Ice/Ice.h>

#include "client.h"

namespace
{

class Echo : public Bench::EchoServer
{
public:
    std::string echo(std::string text, const Ice::Current&) override { return text; }
};

void serve(const std::shared_ptr<Ice::Communicator>& communicator)
{
    const auto adapter = communicator->createObjectAdapterWithEndpoints("Echo", "tcp -h 127.0.0.1");
    const auto proxy = adapter->add(std::make_shared<Echo>(), Ice::stringToIdentity("echo"));
    adapter->activate();
    std::cout << proxy->ice_toString() << std::endl;
    communicator->waitForShutdown();
}

/// A proxy with its own connection, through the router unless `router` is empty.
std::shared_ptr<Bench::EchoServerPrx> connect(
    const std::shared_ptr<Ice::Communicator>& communicator,
    const std::string& proxy,
    const std::string& router,
    int number)
{
    const auto name = std::to_string(number);
    auto object = communicator->stringToProxy(proxy)->ice_connectionId(name);
    if(!router.empty())
    {
        const auto routerProxy = communicator->stringToProxy(router)->ice_connectionId(name);
        const auto session = Ice::uncheckedCast<Glacier2::RouterPrx>(routerProxy);
        session->createSession("bench", "");
        object = object->ice_router(session);
    }
    auto echo = Ice::uncheckedCast<Bench::EchoServerPrx>(object);
    echo->ice_ping();
    return echo;
}

void drive(const std::shared_ptr<Ice::Communicator>& communicator, char** arguments)
{
    const std::string proxy = arguments[0], router = arguments[1];
    const int connections = std::stoi(arguments[2]), inFlight = std::stoi(arguments[3]);
    const auto payload = std::stoul(arguments[4]);
    const std::chrono::duration<double> warmUp(std::stod(arguments[5])), measured(std::stod(arguments[6]));

    bench::Meter meter(static_cast<size_t>(connections * inFlight));
    std::deque<bench::Caller> callers;
    for(int connection = 0; connection < connections; ++connection)
    {
        const auto echo = connect(communicator, proxy, router, connection);
        for(int caller = 0; caller < inFlight; ++caller)
        {
            callers.emplace_back(echo, callers.size(), payload, meter);
        }
    }
    for(auto& caller : callers)
    {
        caller.call();
    }
    std::this_thread::sleep_for(warmUp);
    const auto started = bench::Clock::now();
    meter.enter(bench::Phase::Measuring);
    std::this_thread::sleep_for(measured);
    while(!meter.hasSamples())
    {
        std::this_thread::sleep_for(measured);
    }
    meter.enter(bench::Phase::Stopped);
    const std::chrono::duration<double> elapsed = bench::Clock::now() - started;
    const auto calls = meter.wait();
    std::printf(
        "{\"calls\":%llu,\"calls_per_second\":%f,\"p50_us\":%f,\"p99_us\":%f}\n",
        static_cast<unsigned long long>(calls),
        static_cast<double>(calls) / elapsed.count(),
        meter.microseconds(0.50),
        meter.microseconds(0.99));
}

}

int main(int argc, char* argv[])
{
    try
    {
        const Ice::CommunicatorHolder holder(Ice::initialize());
        const std::string role = argc > 1 ? argv[1] : "";
        if(role == "server" && argc == 2)
        {
            serve(holder.communicator());
            return 0;
        }
        if(role == "client" && argc == 9)
        {
            drive(holder.communicator(), argv + 2);
            return 0;
        }
        std::cerr << "usage: peer server | peer client PROXY ROUTER CONNECTIONS IN_FLIGHT PAYLOAD WARM_UP MEASURED\n";
    }
    catch(const std::exception& error)
    {
        std::cerr << error.what() << std::endl;
    }
    return 1;
}
