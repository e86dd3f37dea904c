// Keeps calls in flight by asynchronous invocations, and counts them as all clients here do.
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

enum class Phase { WarmingUp, Measuring, Over };

/// What all callers share. Callbacks run in the one thread that Ice has for them.
class Meter
{
public:
    explicit Meter(size_t callers) : sampled_(callers == 1 ? 1 : 16), running_(callers) {}

    Phase phase() const { return phase_.load(std::memory_order_relaxed); }
    void enter(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }

    /// Of many callers the latency of one call in sixteen is taken.
    bool samples(uint64_t caller, uint64_t nth) const { return (caller + nth) % sampled_ == 0; }

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
        running_ -= 1;
        changed_.notify_one();
    }

    /// How many calls were complete while it measured.
    uint64_t wait()
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return running_ == 0; });
        if(failure_)
        {
            std::rethrow_exception(failure_);
        }
        return calls_;
    }

    double microseconds(double quantile)
    {
        std::sort(latencies_.begin(), latencies_.end());
        const auto place = static_cast<size_t>(quantile * static_cast<double>(latencies_.size() - 1));
        return std::chrono::duration<double, std::micro>(latencies_[place]).count();
    }

private:
    std::atomic<Phase> phase_ = Phase::WarmingUp;
    const uint64_t sampled_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Clock::duration> latencies_;
    std::exception_ptr failure_;
    uint64_t calls_ = 0;
    size_t running_;
};

/// One that always has a call in flight.
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
            const auto wrong = std::runtime_error("an answer is not what was sent");
            return meter_.ended(counted_, std::make_exception_ptr(wrong));
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
        if(meter_.phase() == Phase::Over)
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
