"""The API of IBM's MAX Image Caption Generator: three captions for the picture in a form."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.serving.errors import json_response
from cutline.serving.payloads import read_form
from cutline.serving.service import NAME, Service

CANDIDATES = 3


def routes(service: Service) -> list[Route]:
    """POST /model/predict and GET /model/metadata."""

    async def predict(request: Request) -> Response:
        [upload, *_] = await read_form(request)
        best = min(CANDIDATES, service.candidates)
        [result] = await service.describe_all([upload.picture], best=best)
        captions = result.get("best") or ([] if result["caption"] is None else [result])
        predictions = [
            {
                "index": str(index),
                "caption": each["caption"],
                "probability": each["confidence"] or 0.0,
            }
            for index, each in enumerate(captions)
        ]
        return json_response({"status": "ok", "predictions": predictions, "cutline": result})

    async def metadata(_: Request) -> Response:
        title = str(service.captioner.card.get("title", NAME))
        kind = "Image-to-Text Translation"
        return json_response({"id": NAME, "name": NAME, "description": title, "type": kind})

    return [
        Route("/model/predict", predict, methods=["POST"]),
        Route("/model/metadata", metadata),
    ]
