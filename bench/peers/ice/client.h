// Keeps calls in flight by asynchronous invocations, and counts them like the other peers' clients.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "Echo.h"

namespace bench
{

using Clock = std::chrono::steady_clock;

enum class Phase { WarmingUp, Measuring, Stopped };

/// Shared by all callers. Callbacks run in the single thread of Ice's client thread pool.
class Meter
{
public:
    explicit Meter(size_t callers) : samplingInterval_(callers == 1 ? 1 : 16), runningCallers_(callers) {}

    Phase phase() const { return phase_.load(std::memory_order_relaxed); }
    void enter(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }

    /// Whether to record the latency of this call: of all calls of a single caller, else of one in 16.
    bool samples(uint64_t caller, uint64_t nth) const { return (caller + nth) % samplingInterval_ == 0; }

    void record(Clock::duration latency)
    {
        std::lock_guard lock(mutex_);
        latencies_.push_back(latency);
    }

    bool hasSamples()
    {
        std::lock_guard lock(mutex_);
        return !latencies_.empty();
    }

    void ended(uint64_t calls, std::exception_ptr failure)
    {
        std::lock_guard lock(mutex_);
        calls_ += calls;
        if(failure)
        {
            failure_ = failure;
        }
        runningCallers_ -= 1;
        changed_.notify_one();
    }

    /// Waits for all callers; returns the number of calls that completed during the measurement.
    uint64_t wait()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return runningCallers_ == 0; });
        if(failure_)
        {
            std::rethrow_exception(failure_);
        }
        return calls_;
    }

    double microseconds(double quantile)
    {
        std::sort(latencies_.begin(), latencies_.end());
        const auto rank = static_cast<size_t>(quantile * static_cast<double>(latencies_.size() - 1));
        return std::chrono::duration<double, std::micro>(latencies_[rank]).count();
    }

private:
    std::atomic<Phase> phase_ = Phase::WarmingUp;
    const uint64_t samplingInterval_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Clock::duration> latencies_;
    std::exception_ptr failure_;
    uint64_t calls_ = 0;
    size_t runningCallers_;
};

/// Always has one call in flight, until the measurement stops.
class Caller
{
public:
    Caller(std::shared_ptr<Bench::EchoServerPrx> echo, uint64_t number, size_t payload, Meter& meter)
        : echo_(std::move(echo)), number_(number), meter_(meter)
    {
        char pattern[32];
        const auto length = snprintf(pattern, sizeof pattern, "caller %04d says ", static_cast<int>(number));
        for(size_t nth = 0; nth < payload; ++nth)
        {
            text_ += pattern[nth % static_cast<size_t>(length)];
        }
    }

    void call()
    {
        isSampled_ = meter_.samples(number_, nth_);
        if(isSampled_)
        {
            started_ = Clock::now();
        }
        echo_->echoAsync(
            text_,
            [this](const std::string& answer) { answered(answer); },
            [this](std::exception_ptr failure) { meter_.ended(counted_, failure); });
    }

private:
    void answered(const std::string& answer)
    {
        const bool isCompared = nth_ < 64 || nth_ % 64 == 0;
        if(answer.size() != text_.size() || (isCompared && answer != text_))
        {
            const auto error = std::runtime_error("an answer is not the text that was sent");
            return meter_.ended(counted_, std::make_exception_ptr(error));
        }
        nth_ += 1;
        if(meter_.phase() == Phase::Measuring)
        {
            counted_ += 1;
            if(isSampled_)
            {
                meter_.record(Clock::now() - started_);
            }
        }
        if(meter_.phase() == Phase::Stopped)
        {
            return meter_.ended(counted_, nullptr);
        }
        call();
    }

    std::shared_ptr<Bench::EchoServerPrx> echo_;
    std::string text_;
    uint64_t number_;
    uint64_t nth_ = 0;
    uint64_t counted_ = 0;
    bool isSampled_ = false;
    Clock::time_point started_;
    Meter& meter_;
};

}
