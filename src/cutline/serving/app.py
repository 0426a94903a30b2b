"""Assembles all interfaces into one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router
from starlette.types import ASGIApp

from cutline.inference.captioner import load
from cutline.inference.requests import find_limits
from cutline.models.onnx_runtime import usable_cores
from cutline.serving import huggingface, ibm_max, native, ollama, openai, page
from cutline.serving.batching import Batcher
from cutline.serving.gate import Capacity, Gate
from cutline.serving.logs import AccessLog
from cutline.serving.metrics import Metrics
from cutline.serving.service import Service
from cutline.serving.settings import Settings

INTERFACES = (native, openai, ollama, huggingface, ibm_max, page)


def create_app(settings: Settings, metrics: Metrics | None = None) -> ASGIApp:
    """Load the model and create the application. Raises `ModelError` if the model does not run."""
    metrics = metrics or Metrics()
    captioner = load(settings.model, threads=1, device=settings.device, **settings.asked)
    engine, options = captioner.engine, settings.options
    find_limits(captioner, options.style, min_confidence=options.min_confidence)  # may raise
    grey = np.full((engine.view.size, engine.view.size, 3), 127, np.uint8)
    # warms up, and fails early for a style that the model does not support
    engine.caption([grey], style=options.style)
    candidates = engine.abilities.candidates or 1
    cores = settings.threads or usable_cores()
    batcher = Batcher(captioner, cores=cores, megapixels=settings.megapixels)
    capacity = Capacity(settings, batcher, metrics)
    service = Service(
        captioner, settings.options, batcher, capacity, metrics, candidates=candidates
    )

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        yield
        batcher.close()

    routes = [route for interface in INTERFACES for route in interface.routes(service)]
    app: ASGIApp = Router(routes, lifespan=lifespan, redirect_slashes=False)
    app = Gate(app, settings=settings, capacity=capacity, metrics=metrics)
    if settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return AccessLog(app, metrics=metrics, as_json=settings.json_logs)
