"""Hugging Face's inference API for image-to-text.

Clients take the URL of the endpoint as the model: `http://host:8000/models/cutline`.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.serving.errors import json_response
from cutline.serving.payloads import decode_picture, read_json, read_uploads
from cutline.serving.service import NAME, Service


def routes(service: Service) -> list[Route]:
    """POST /models/cutline."""

    async def infer(request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("application/json"):
            pictures = [decode_picture((await read_json(request)).get("inputs"))]
        else:
            pictures = [upload.picture for upload in await read_uploads(request)]
        results = await service.describe_all(pictures)
        return json_response(
            [{"generated_text": each["caption"] or "", "cutline": each} for each in results]
        )

    return [Route(f"/models/{NAME}", infer, methods=["POST"])]
